package e2e_test

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shrink copies the pictures of a folder to another one, in 256 colours, which is all that pages of text need: they become
// a third as large. It returns how many bytes they are.
func shrink(t *testing.T, from, to string) (size int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(from, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		few := paletted(picture)
		if y := repeats(few); y > 0 {
			t.Errorf("%s shows its beginning again %d pixels below: take it again", filepath.Base(file), y)
		}
		var small bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, few); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(file)), small.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		size += small.Len()
	}
	return size
}

// repeats is where a picture shows its first rows again, which is how a browser fills what it has not drawn; 0 where nowhere.
// Rows of one colour say nothing.
func repeats(picture *image.Paletted) int {
	const rows = 100
	band := picture.Pix[:min(rows*picture.Stride, len(picture.Pix))]
	if !slices.ContainsFunc(band, func(c uint8) bool { return c != band[0] }) {
		return 0
	}
	for y := 1; y <= picture.Rect.Dy()-rows; y++ {
		if bytes.HasPrefix(picture.Pix[y*picture.Stride:], band) {
			return y
		}
	}
	return 0
}

// TestRepeats finds the picture of a window that stands twice in one of the page.
func TestRepeats(t *testing.T) {
	picture := image.NewPaletted(image.Rect(0, 0, 10, 500), color.Palette{color.Black, color.White})
	if y := repeats(picture); y != 0 {
		t.Errorf("an empty page repeats at %d", y)
	}
	for _, y := range []int{50, 350} {
		picture.SetColorIndex(3, y, 1)
	}
	if y := repeats(picture); y != 300 {
		t.Errorf("repeats at %d", y)
	}
	picture.SetColorIndex(4, 360, 1)
	if y := repeats(picture); y != 0 {
		t.Errorf("another page repeats at %d", y)
	}
}

// paletted is a picture in the 256 of its colours that are most common, and not nearly the same as a more common one.
func paletted(picture image.Image) *image.Paletted {
	const near = 40 // sum of squares of the differences of the channels, of 255 each
	bounds := image.Rect(0, 0, picture.Bounds().Dx(), picture.Bounds().Dy())
	plain := image.NewRGBA(bounds)
	draw.Draw(plain, bounds, picture, picture.Bounds().Min, draw.Src)
	counts := map[color.RGBA]int{}
	runs(plain, func(c color.RGBA, _, n int) { counts[c] += n })
	var all []color.RGBA
	for c := range counts {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	out := image.NewPaletted(bounds, nil)
	index := map[color.RGBA]uint8{}
	for _, c := range all {
		best, away := 0, 1<<30
		for i, p := range out.Palette {
			if d := distance(c, p.(color.RGBA)); d < away {
				best, away = i, d
			}
		}
		if away > near && len(out.Palette) < 256 {
			best = len(out.Palette)
			out.Palette = append(out.Palette, c)
		}
		index[c] = uint8(best)
	}
	runs(plain, func(c color.RGBA, from, n int) {
		for i := range n {
			out.Pix[from+i] = index[c]
		}
	})
	return out
}

// runs hands over which pixels in a row have the same colour.
func runs(picture *image.RGBA, fn func(c color.RGBA, from, n int)) {
	at := func(i int) color.RGBA {
		return color.RGBA{picture.Pix[4*i], picture.Pix[4*i+1], picture.Pix[4*i+2], picture.Pix[4*i+3]}
	}
	for from, all := 0, len(picture.Pix)/4; from < all; {
		n, c := 1, at(from)
		for from+n < all && at(from+n) == c {
			n++
		}
		fn(c, from, n)
		from += n
	}
}

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}
