package console

import "strings"

// browser is a User-Agent in words. It is only shown: nothing depends on it.
type browser struct{ Name, System string } // empty: not known

// browserOf reads the browser and the system from a User-Agent (RFC 9110 section 10.1.5). The order matters: nearly
// every browser claims to be another one too.
func browserOf(agent string) (b browser) {
	for _, is := range []struct{ mark, name string }{{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}, {"curl/", "curl"}} {
		if strings.Contains(agent, is.mark) {
			b.Name = is.name
			break
		}
	}
	for _, is := range []struct{ mark, name string }{{"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"Android", "Android"}, {"Windows", "Windows"},
		{"CrOS", "ChromeOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"}} {
		if strings.Contains(agent, is.mark) {
			b.System = is.name
			break
		}
	}
	return b
}
