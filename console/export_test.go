package console

import (
	"net/http"
	"strconv"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
)

// ShowProblem answers as a sign-in with that problem does.
func ShowProblem(c *Console, w http.ResponseWriter, r *http.Request, p *auth.Problem) {
	v := c.visit(w, r)
	c.secure(v)
	c.problem(v, p)
}

// ExportPages exports pages of numbers, of at most so many, and returns what was written.
func ExportPages(most int, pages ...[]int) (out []int, cut bool, reads int, err error) {
	page := func(n int) (l desk.List[int]) {
		l.Items = pages[n]
		if n+1 < len(pages) {
			l.Next = strconv.Itoa(n + 1)
		}
		return l
	}
	err = exportPages(most, page(0), func(after string) (desk.List[int], error) {
		reads++
		n, err := strconv.Atoi(after)
		return page(n), err
	}, func(x *int) error {
		out = append(out, *x)
		return nil
	}, func(is bool) error {
		cut = is
		return nil
	})
	return out, cut, reads, err
}

// MaxExport is the most lines of one export.
const MaxExport = maxExport
