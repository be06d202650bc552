package auth

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

func TestRefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code, description string
		status            int
		want              string
	}{
		{"invalid_client", "AADSTS7000215: Invalid client secret provided for app marta@fjord.example.", 401, "copy its Value in Entra, not its ID (AADSTS7000215)"},
		{"unauthorized_client", "AADSTS700016: Application with identifier 'x' was not found", 400, "the directory has no such application"},
		{"invalid_client", "AADSTS99999: marta@fjord.example", 401, "refuses the application: AADSTS99999"},
		{"invalid_client", "no", 401, "the directory refuses the credential"},
		{"", "", 503, "status 503"},
		{"invalid_client", "no", 503, "status 503"},
		{"server_error", "AADSTS90033: A transient error has occurred.", 503, "status 503: try again"},
		{"temporarily_unavailable", "AADSTS50196: marta@fjord.example", 429, "status 429: try again"},
	} {
		got := refusal(&oauth2.RetrieveError{Response: &http.Response{StatusCode: c.status}, ErrorCode: c.code, ErrorDescription: c.description})
		if !strings.Contains(got, c.want) || strings.Contains(got, "marta") {
			t.Errorf("%s: %s", c.description, got)
		}
	}
}
