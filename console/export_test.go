package console

import (
	"net/http"

	"github.com/bizzstream/bizzscim/auth"
)

// ShowProblem answers as a sign-in with that problem does.
func ShowProblem(c *Console, w http.ResponseWriter, r *http.Request, p *auth.Problem) {
	v := c.visit(w, r)
	c.secure(v)
	c.problem(v, p)
}
