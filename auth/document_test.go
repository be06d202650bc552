package auth_test

import (
	"crypto"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// TestSignedDocuments: a document verifies with the published key and with the one in its header, whose thumbprint is kid;
// whatever is changed in it is seen; and nobody takes it for an assertion.
func TestSignedDocuments(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.assertions(newSafe())
	text := must(a.SignDocument(t.Context(), "report+jws", []byte(`{"leavers":["ana"]}`)))
	set := must(a.Keys(t.Context()))
	jws := must(jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.ES256}))
	header := jws.Signatures[0].Protected
	keys := set.Key(header.KeyID)
	if len(keys) != 1 {
		t.Fatalf("%d keys of that id", len(keys))
	}
	if payload := string(must(jws.Verify(keys[0]))); payload != `{"leavers":["ana"]}` {
		t.Error(payload)
	}
	var own struct {
		Type string          `json:"typ"`
		Key  jose.JSONWebKey `json:"jwk"`
	}
	parts := strings.Split(text, ".")
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(parts[0])), &own); err != nil || own.Type != "report+jws" || !own.Key.IsPublic() {
		t.Errorf("%+v, %v", own, err)
	}
	if id := base64.RawURLEncoding.EncodeToString(must(own.Key.Thumbprint(crypto.SHA256))); id != header.KeyID {
		t.Errorf("kid is %s, not %s", header.KeyID, id)
	}
	for i, part := range parts {
		raw := must(base64.RawURLEncoding.DecodeString(part))
		for at := range raw {
			changed := append([]byte(nil), raw...)
			changed[at] ^= 1
			forged := append([]string(nil), parts...)
			forged[i] = base64.RawURLEncoding.EncodeToString(changed)
			if jws, err := jose.ParseSignedCompact(strings.Join(forged, "."), []jose.SignatureAlgorithm{jose.ES256}); err == nil {
				if _, err := jws.Verify(keys[0]); err == nil {
					t.Fatalf("byte %d of part %d may be changed", at, i)
				}
			}
		}
	}
	for _, kind := range []string{"", "JWT", "jwt", "secevent+jwt", "SecEvent+JWT", "application/secevent+jwt"} {
		if _, err := a.SignDocument(t.Context(), kind, []byte("{}")); err == nil {
			t.Errorf("a document may be a %q", kind)
		}
	}
}
