package graph

import (
	"context"
	"time"

	"github.com/bizzstream/bizzscim/pull"
	"github.com/bizzstream/bizzscim/pull/graph/reader"
)

// ConnectAtOnce is Connect that does not wait before it sends a request again.
func ConnectAtOnce(c pull.Connection) (pull.Source, error) {
	return connect(c, reader.NewTransport(c.Roots), func(ctx context.Context, _ time.Duration) error { return ctx.Err() })
}
