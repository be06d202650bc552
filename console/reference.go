package console

import (
	"net/http"
	"slices"

	"github.com/bizzstream/bizzscim/desk"
)

type referenceData struct {
	Server string
	Tags   []desk.ReferenceTag
	Part   int // of Tags, that is shown
}

// reference shows a part of the description of the JSON API.
func (c *Console) reference(v *visit) error {
	data := referenceData{Server: c.config.URL(), Tags: c.config.Reference()}
	if name := v.r.URL.Query().Get("part"); name != "" {
		data.Part = slices.IndexFunc(data.Tags, func(t desk.ReferenceTag) bool { return t.Name == name })
	}
	if data.Part < 0 {
		return missing
	}
	c.render(v, http.StatusOK, "reference", "reference.title", data)
	return nil
}
