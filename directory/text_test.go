package directory_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/bizzstream/bizzscim/directory"
)

func TestFoldCase(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"ada@fjord.example":  "ada@fjord.example",
		"ADA@Fjord.Example":  "ada@fjord.example",
		"role\u017f":         "roles", // long s
		"\u212aelvin":        "kelvin",
		"Ren\u00c9":          directory.FoldCase("ren\u00e9"),
		"\u03a3\u03c3\u03c2": directory.FoldCase("\u03c3\u03c2\u03a3"), // the three sigmas
		"[\\]^_`{|}~09":      "[\\]^_`{|}~09",
		"a\xffb":             "a\ufffdb",
	} {
		if got := directory.FoldCase(in); got != want {
			t.Errorf("FoldCase(%q) = %q, want %q", in, got, want)
		}
	}
	for _, pair := range [][2]string{{"\u0130", "i"}, {"\u0131", "i"}, {"ß", "ss"}, {"é", "e"}} {
		if directory.FoldCase(pair[0]) == directory.FoldCase(pair[1]) {
			t.Errorf("%q and %q are one name", pair[0], pair[1])
		}
	}
}

// Every rune folds like each rune of its orbit, and like no other.
func TestFoldCaseIsSimpleFolding(t *testing.T) {
	orbitOf := map[string]rune{}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) || r == utf8.RuneError {
			continue
		}
		smallest := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			smallest = min(smallest, next)
		}
		folded := directory.FoldCase(string(r))
		if was, ok := orbitOf[folded]; ok && was != smallest {
			t.Fatalf("%U folds to %q like the orbit of %U", r, folded, was)
		}
		orbitOf[folded] = smallest
		if smallest != r {
			if want := directory.FoldCase(string(smallest)); folded != want {
				t.Fatalf("%U folds to %q, %U of its orbit to %q", r, folded, smallest, want)
			}
		}
		if again := directory.FoldCase(folded); again != folded {
			t.Fatalf("%U folds to %q and then to %q", r, folded, again)
		}
	}
}

func TestFoldCaseProperties(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("aAzZsSkKéÉ\u017f\u212a\u03a3\u03c2@.0"))))
	rapid.Check(t, func(t *rapid.T) {
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		folded := directory.FoldCase(a)
		if again := directory.FoldCase(folded); again != folded {
			t.Fatalf("folds to %q and then to %q", folded, again)
		}
		if (folded == directory.FoldCase(b)) != strings.EqualFold(a, b) {
			t.Fatalf("%q and %q: one name %v, EqualFold %v", a, b, folded == directory.FoldCase(b), strings.EqualFold(a, b))
		}
		ascii := strings.Map(func(r rune) rune { return r & 0x7f }, a)
		if directory.FoldCase(ascii) != directory.FoldCase(strings.ToUpper(ascii)) || directory.FoldCase(ascii) != strings.ToLower(ascii) {
			t.Fatalf("%q folds to %q", ascii, directory.FoldCase(ascii))
		}
		if directory.FoldCase(a+b) != folded+directory.FoldCase(b) && utf8.ValidString(a) && utf8.ValidString(b) {
			t.Fatal("folding is not by rune")
		}
	})
}

var canonical = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", object(1), strings.ToUpper(object(1)), "{" + object(1) + "}", "urn:uuid:" + object(1), strings.ReplaceAll(object(1), "-", ""),
		"00000000-0000-0000-0000-000000000000", "g0000000-0000-0000-0000-000000000000", "0000000-00000-0000-0000-000000000000",
		"00000000-0000-0000-0000-00000000000", "00000000-0000-0000-0000-0000000000000", "00000000-0000-0000-0000-00000000000\n",
		"0000000000000-0000-0000-000000000000", "00000000-0000-0000-0000-0000000000-0", strings.Repeat("-", 36), "00000000-0000-0000-0000--00000000000", "00000000-0000-0000-0000-0000000000-0", "-0000000-0000-0000-0000-000000000000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := directory.ParseID(s)
		if ok != canonical.MatchString(s) || ok && strings.HasSuffix(s, "\n") {
			t.Fatalf("ParseID(%q): %v", s, ok)
		}
		if !ok {
			if !id.IsZero() {
				t.Fatalf("ParseID(%q) refuses and gives %v", s, id)
			}
			return
		}
		if id.String() != s {
			t.Fatalf("ParseID(%q) = %v", s, id)
		}
		text, err := id.MarshalText()
		if err != nil || string(text) != s && !id.IsZero() {
			t.Fatalf("MarshalText: %q, %v", text, err)
		}
		appended, err := id.AppendText([]byte("x"))
		if err != nil || string(appended) != "x"+s {
			t.Fatalf("AppendText: %q, %v", appended, err)
		}
		var back directory.ID
		if err := back.UnmarshalText(text); err != nil || back != id {
			t.Fatalf("UnmarshalText(%q) = %v, %v", text, back, err)
		}
	})
}

func TestUnmarshalIDRefuses(t *testing.T) {
	for _, s := range []string{"x", strings.ToUpper(object(1)), object(1) + " "} {
		id := number(1)
		if err := id.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("%q is read", s)
		}
	}
}

func TestKindOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want directory.ErrorKind
	}{
		{errors.New("x"), directory.Internal},
		{&directory.Error{Kind: directory.Conflict}, directory.Conflict},
		{fmt.Errorf("outside: %w", &directory.Error{Kind: directory.NotFound}), directory.NotFound},
		{errors.Join(errors.New("x"), fmt.Errorf("y: %w", &directory.Error{Kind: directory.ReadOnly})), directory.ReadOnly},
		{directory.ErrFailed, directory.Unavailable},
		{fmt.Errorf("outside: %w", directory.ErrFailed), directory.Unavailable},
		{&directory.Error{Kind: directory.Invalid, Err: directory.ErrFailed}, directory.Invalid},
		{directory.ErrDamaged, directory.Internal},
		{directory.ErrExists, directory.Internal},
		{directory.UnknownMember("x"), directory.Invalid},
	} {
		if got := directory.KindOf(test.err); got != test.want {
			t.Errorf("KindOf(%v) = %v, want %v", test.err, got, test.want)
		}
	}
	seen := map[string]bool{}
	for k := range directory.ErrorKinds {
		name := directory.ErrorKind(k).String()
		if name == "" || seen[name] {
			t.Errorf("kind %d is named %q", k, name)
		}
		seen[name] = true
	}
}

func TestErrorText(t *testing.T) {
	inside := errors.New("disk")
	for want, err := range map[string]error{
		"conflict":            &directory.Error{Kind: directory.Conflict},
		"name is taken":       &directory.Error{Kind: directory.Exists, Detail: "name is taken"},
		"internal: disk":      &directory.Error{Err: inside},
		"name is taken: disk": &directory.Error{Kind: directory.Exists, Detail: "name is taken", Err: inside},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	if !errors.Is(&directory.Error{Err: inside}, inside) {
		t.Error("the error inside is not found")
	}
}

// A store that has failed says so through every Service call.
func TestReady(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if err := s.svc.Ready(); err != nil {
		t.Error(err)
	}
	failed := make(chan struct{})
	svc := directory.New(failedStore{s.store, failed}, directory.Options{Now: s.clock.Now, NewID: s.newID, Normalize: compose})
	close(failed)
	if err := svc.Ready(); directory.KindOf(err) != directory.Unavailable {
		t.Error(err)
	}
}

type failedStore struct {
	directory.Store
	failed chan struct{}
}

func (f failedStore) Failed() <-chan struct{} { return f.failed }
