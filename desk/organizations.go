package desk

import (
	"context"
	"time"

	"github.com/bizzstream/bizzscim/directory"
)

// Organization is a customer of BizzStream.
type Organization struct {
	ID      directory.ID `json:"id"`
	Name    string       `json:"name"`
	Created time.Time    `json:"created"`
}

// Organizations lists those that an actor may see.
func (d *Desk) Organizations(ctx context.Context, by directory.Actor) (List[Organization], error) {
	return view(ctx, d, func(sn *directory.Snapshot) (List[Organization], error) {
		all, err := sn.SeeOrganizations(by)
		out := List[Organization]{Items: []Organization{}, Total: int64(len(all))}
		for _, o := range all {
			out.Items = append(out.Items, Organization{o.ID, o.Name, o.Created})
		}
		return out, err
	})
}
