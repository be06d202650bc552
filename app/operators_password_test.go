package app

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPasswordsOfTheDirectoryAreKeptNowhere sends the SCIM attribute password (RFC 7643 section 4.1.1) in every
// way and then looks for it: in the answers, the log and every byte of the data folder.
func TestPasswordsOfTheDirectoryAreKeptNowhere(t *testing.T) {
	dir := t.TempDir()
	r := start(t, Config{Data: dir}, Options{})
	token := r.tenant("acme")
	var answers strings.Builder
	send := func(method, path, body string, wanted ...int) string {
		t.Helper()
		resp := r.raw(scimRequest(method, "/scim/acme/v2"+path, token, body))
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		answers.Write(text)
		for _, w := range wanted {
			if resp.StatusCode == w {
				return string(text)
			}
		}
		t.Fatalf("%s %s %s: %d %s", method, path, body, resp.StatusCode, text)
		return ""
	}
	const urn = "urn:ietf:params:scim:schemas:core:2.0:User"
	user := func(extra string) string {
		return `{"schemas":["` + urn + `"],"userName":"zora@example.com","externalId":"zora-marker","active":true` + extra + `}`
	}
	patch := func(operation string) string {
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operation + `]}`
	}
	var created struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(send(http.MethodPost, "/Users", user(`,"password":"Needle-1-Needle"`), 201)), &created); err != nil {
		t.Fatal(err)
	}
	one := "/Users/" + created.ID
	send(http.MethodPut, one, user(`,"PassWord":"Needle-2-Needle","displayName":"Zora"`), 200)
	for _, operation := range []string{
		`{"op":"replace","path":"password","value":"Needle-3-Needle"}`,
		`{"op":"add","path":"` + urn + `:password","value":"Needle-4-Needle"}`,
		`{"op":"Replace","value":{"password":"Needle-5-Needle","displayName":"Zora N"}}`,
		`{"op":"add","value":{"` + urn + `:password":"Needle-6-Needle"}}`,
		`{"op":"remove","path":"password"}`,
		`{"op":"replace","path":"password","value":{"value":"Needle-7-Needle"}}`, // no string: taken or refused, kept never
		`{"op":"replace","path":"password[value eq \"Needle-8-Needle\"]","value":"x"}`,
	} {
		send(http.MethodPatch, one, patch(operation), 200, 204, 400)
	}
	send(http.MethodPost, "/Users", `{"schemas":["`+urn+`"],"userName":"other@example.com","name":{"password":"Needle-9-Needle"},"password":["Needle-10-Needle"]}`, 201, 400)
	send(http.MethodGet, one, "", 200)
	send(http.MethodGet, one+"?attributes=password", "", 200, 400)
	send(http.MethodGet, "/Users?filter=password%20eq%20%22Needle-11-Needle%22", "", 400)
	if !strings.Contains(answers.String(), "Zora N") || strings.Contains(answers.String(), "Needle-") {
		t.Errorf("answers: %s", answers.String())
	}
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.log.String(), "Needle") {
		t.Error("the log holds a password")
	}
	marked := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "Needle") {
			t.Errorf("%s holds a password", d.Name())
		}
		marked += strings.Count(string(data), "zora-marker")
		return err
	})
	if err != nil || marked == 0 {
		t.Errorf("%v; what was kept is found %d times: this test looks at the wrong files", err, marked)
	}
}
