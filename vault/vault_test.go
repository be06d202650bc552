package vault

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	material = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	other    = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
	place    = "tenant/graph"
)

func parse(t *testing.T, text string) *Keyring {
	t.Helper()
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestOnlyTheSamePlaceOpens(t *testing.T) {
	r := parse(t, "a "+material)
	for _, plain := range []string{"", "s3cret~value", strings.Repeat("x", 100_000)} {
		sealed := r.Seal([]byte(plain), place)
		if again := r.Seal([]byte(plain), place); again == sealed {
			t.Error("the same secret twice gives the same text")
		}
		if plain != "" && strings.Contains(sealed, plain) {
			t.Error("the secret is in the text")
		}
		if got, err := r.Open(sealed, place); err != nil || string(got) != plain {
			t.Errorf("%d bytes: %v", len(plain), err)
		}
		for _, elsewhere := range []string{"", "tenant/grap", "tenant/graph2", "other/graph", place + "\x00"} {
			if got, err := r.Open(sealed, elsewhere); !errors.Is(err, ErrDamaged) || got != nil {
				t.Errorf("opened at %q: %v", elsewhere, err)
			}
		}
	}
}

// TestGoldenSecretOpens keeps the format: what an older version sealed must open for ever.
func TestGoldenSecretOpens(t *testing.T) {
	r := parse(t, "k1 "+material)
	const sealed = "v1.k1.aexyY92uyv7iqPAw8ZE_k09c7u4OqJRt_ocPgc3_MNAbQA"
	if got, err := r.Open(sealed, place); err != nil || string(got) != "golden" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEveryChangedByteIsSeen(t *testing.T) {
	r := parse(t, "a "+material+"\nb "+other)
	sealed := r.Seal([]byte("secret"), place)
	for i := range sealed {
		for _, c := range []byte{'A', 'b', '.', '_', 0} {
			if sealed[i] == c {
				continue
			}
			changed := sealed[:i] + string(c) + sealed[i+1:]
			if got, err := r.Open(changed, place); err == nil || got != nil {
				t.Fatalf("%q opened", changed)
			}
		}
		if got, err := r.Open(sealed[:i], place); err == nil || got != nil {
			t.Fatalf("the first %d bytes opened", i)
		}
	}
	for _, text := range []string{sealed + "A", sealed + "=", sealed + "\n", " " + sealed, "v2" + sealed[2:]} {
		if _, err := r.Open(text, place); !errors.Is(err, ErrDamaged) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestKeysChange(t *testing.T) {
	first, both, second := parse(t, "a "+material), parse(t, "# new\nb "+other+"\n\na "+material), parse(t, "b "+other)
	sealed := first.Seal([]byte("secret"), place)
	if !first.Current(sealed) || both.Current(sealed) || second.Current(sealed) || first.Current("") || first.Current("v2"+sealed[2:]) {
		t.Error("current is wrong")
	}
	if got, err := both.Open(sealed, place); err != nil || string(got) != "secret" {
		t.Errorf("the old key does not open: %v", err)
	}
	if _, err := second.Open(sealed, place); !errors.Is(err, ErrUnknownKey) || !strings.Contains(err.Error(), "key a") || !strings.Contains(err.Error(), "not in the key file") {
		t.Errorf("a forgotten key: %v", err)
	}
	if next := both.Seal([]byte("secret"), place); !both.Current(next) || both.CurrentID() != "b" || both.Len() != 2 {
		t.Error("the first key does not seal")
	}
	// Another key under the same id opens nothing.
	if _, err := parse(t, "a "+other).Open(sealed, place); !errors.Is(err, ErrDamaged) {
		t.Errorf("another key of that id: %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	zeros := base64.StdEncoding.EncodeToString(make([]byte, keyBytes))
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":         {"", "there is no key"},
		"comments alone":  {"# a " + material, "there is no key"},
		"no id":           {material, "line 1"},
		"three fields":    {"a " + material + " b", "line 1"},
		"short":           {"#\na " + base64.StdEncoding.EncodeToString(make([]byte, 31)), "line 2 of the keys: the key is not 32 bytes"},
		"long":            {"a " + base64.StdEncoding.EncodeToString(make([]byte, 33)), "not 32 bytes"},
		"not base64":      {"a !" + material[1:], "not 32 bytes"},
		"url alphabet":    {"a " + strings.Repeat("_", 43) + "=", "not 32 bytes"},
		"zeros":           {"a " + zeros, "all zeros"},
		"twice":           {"a " + material + "\na " + other, "line 2 of the keys: another key has the same id"},
		"a dot in the id": {"a.b " + material, "line 1"},
		"a long id":       {strings.Repeat("a", 65) + " " + material, "line 1"},
	} {
		_, err := Parse(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), material[1:20]) || strings.Contains(err.Error(), zeros[:20])) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
	var many strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintf(&many, "k%d %s\r\n", i, material)
		if _, err := Parse(many.String()); (err != nil) != (i == maxKeys) {
			t.Fatalf("%d keys: %v", i+1, err)
		}
	}
}

func TestGeneratedKeysDiffer(t *testing.T) {
	a, b := Generate(), Generate()
	if a == b || strings.Fields(a)[0] == strings.Fields(b)[0] {
		t.Errorf("%q, %q", a, b)
	}
	if r := parse(t, a+b); r.Len() != 2 {
		t.Errorf("%d keys", r.Len())
	}
}

// TestKeysAreNeverShown prints a keyring in every way that prints something by accident.
func TestKeysAreNeverShown(t *testing.T) {
	r := parse(t, "a "+material)
	raw, _ := base64.StdEncoding.DecodeString(material)
	type holder struct {
		Ring   *Keyring
		Value  Keyring
		hidden Keyring
	}
	h := holder{r, *r, *r}
	var log bytes.Buffer
	for _, l := range []*slog.Logger{slog.New(slog.NewJSONHandler(&log, nil)), slog.New(slog.NewTextHandler(&log, nil))} {
		l.Info("keys", "ring", r, "value", *r, "holder", h)
	}
	texts := []string{log.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, v := range []any{r, *r, h, &h, []*Keyring{r}, map[string]Keyring{"a": *r}} {
			texts = append(texts, fmt.Sprintf(verb, v))
		}
	}
	for _, v := range []any{r, *r, h, &h} {
		doc, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(doc))
	}
	for _, text := range texts {
		for _, secret := range []string{material[:20], material[20:], hex.EncodeToString(raw)[:20], string(raw), fmt.Sprintf("%d", raw)[1:30], "0, 1, 2, 3", "0x0, 0x1, 0x2"} {
			if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
				t.Errorf("%q is in %q", secret, text)
			}
		}
	}
	if s := fmt.Sprintf("%d %s", r, r); s != redacted+" "+redacted {
		t.Errorf("printed as %q", s)
	}
}

func TestKeyFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "secrets.key")
	if _, err := Load(name); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a file that is not there: %v", err)
	}
	first, err := Create(name)
	if err != nil {
		t.Fatal(err)
	}
	sealed := first.Seal([]byte("secret"), place)
	private(t, name)
	before := content(t, name)
	if _, err := Create(name); !errors.Is(err, fs.ErrExist) || content(t, name) != before {
		t.Errorf("created over another: %v", err)
	}
	loaded, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := loaded.Open(sealed, place); err != nil || string(got) != "secret" {
		t.Errorf("after loading: %v", err)
	}

	rotated, err := Rotate(name)
	if err != nil {
		t.Fatal(err)
	}
	private(t, name)
	again, err := Load(name)
	if err != nil || again.CurrentID() != rotated.CurrentID() || again.CurrentID() == first.CurrentID() || again.Len() != 2 {
		t.Fatalf("rotated to %s of %d, %v", again.CurrentID(), again.Len(), err)
	}
	if _, err := again.Open(sealed, place); err != nil {
		t.Errorf("the old key does not open: %v", err)
	}
	if !strings.HasPrefix(content(t, name), header) {
		t.Error("the comment is gone")
	}
	forgot, err := Forget(name)
	if err != nil || forgot.Len() != 1 || forgot.CurrentID() != rotated.CurrentID() {
		t.Fatalf("forgot: %v", err)
	}
	private(t, name)
	if last, err := Load(name); err != nil || last.CurrentID() != rotated.CurrentID() || last.Len() != 1 {
		t.Errorf("after forgetting: %v", err)
	}
	if strings.Contains(content(t, name), first.CurrentID()) || !strings.HasPrefix(content(t, name), header) {
		t.Error("the old key is still there, or the comment is gone")
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(name), "*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %q", left)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(name), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func content(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func private(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestKeyFileThatOthersReadIsRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o602, 0o601, 0o644} {
		name := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(name, []byte("a "+material), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		for what, fn := range map[string]func(string) (*Keyring, error){"load": Load, "rotate": Rotate, "forget": Forget} {
			if _, err := fn(name); err == nil || !strings.Contains(err.Error(), "chmod 600 "+name) {
				t.Errorf("%s with mode %o: %v", what, mode, err)
			}
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		name := filepath.Join(t.TempDir(), "keys")
		if err := os.WriteFile(name, []byte("a "+material), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(name); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// TestKeyFileNotUnderstoodIsNotRewritten: what a typing mistake has broken is left for a person to mend.
func TestKeyFileNotUnderstoodIsNotRewritten(t *testing.T) {
	dir := t.TempDir()
	for i, text := range []string{"", "a " + material + "\nb " + other[:20] + "\n", strings.Repeat("#", maxFile+1)} {
		name := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for what, fn := range map[string]func(string) (*Keyring, error){"load": Load, "rotate": Rotate, "forget": Forget} {
			if _, err := fn(name); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s of file %d: %v", what, i, err)
			}
		}
		if content(t, name) != text {
			t.Errorf("file %d was changed", i)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Create(filepath.Join(dir, "none", "keys")); err == nil {
		t.Error("created in a folder that is not there")
	}
}

// TestKeyFileBehindALink rotates what the link points to: a link to where secrets are kept stays one.
func TestKeyFileBehindALink(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "kept", "keys"), filepath.Join(dir, "link")
	if err := os.Mkdir(filepath.Dir(target), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(target, []byte("a "+material), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Skip(err)
	}
	if _, err := Rotate(link); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != target {
		t.Errorf("the link was replaced: %q, %v", to, err)
	}
	if r, err := Load(target); err != nil || r.Len() != 2 {
		t.Errorf("the target: %v", err)
	}
}
