package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is a static file under a name that changes with its content, so that browsers may keep it.
type asset struct {
	name string // style.0123456789abcdef.css
	kind string
	data []byte
}

// assets are the static files: by their own name, and by the name that they are served under.
var assets, served = readAssets()

func readAssets() (byFile, byName map[string]asset) {
	byFile, byName = map[string]asset{}, map[string]asset{}
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic("console: " + err.Error()) // they are part of the program
	}
	styles := readStyles()
	for _, e := range entries {
		data, err := fs.ReadFile(staticFiles, "static/"+e.Name())
		if err != nil {
			panic("console: " + err.Error())
		}
		if strings.HasSuffix(e.Name(), ".css") { // all of them are one file for browsers
			data = styles
			if e.Name() != "style.css" {
				continue
			}
		}
		sum := sha256.Sum256(data)
		ext := path.Ext(e.Name())
		a := asset{strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext, kindOf(ext), data}
		byFile[e.Name()], byName[a.name] = a, a
	}
	return byFile, byName
}

// readStyles joins the style sheets: style.css first, then those of single pages.
func readStyles() []byte {
	names, err := fs.Glob(staticFiles, "static/*.css")
	if err != nil {
		panic("console: " + err.Error())
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), strings.Compare(a, b))
	})
	var all []byte
	for _, name := range names {
		data, err := fs.ReadFile(staticFiles, name)
		if err != nil {
			panic("console: " + err.Error())
		}
		all = append(all, data...)
	}
	return all
}

func order(name string) int {
	if name == "static/style.css" {
		return 0
	}
	return 1
}

// kindOf does not ask the machine: its tables differ.
func kindOf(ext string) string {
	switch ext {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(ext)
}

func serveStatic(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'") // an SVG that is opened by itself
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	a, ok := served[r.PathValue("file")]
	if !ok {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", a.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.data))
}
