package app

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// What the desk is told of the program.

// serverInfo is what the program knows of itself.
func (a *App) serverInfo(ctx context.Context) desk.ServerInfo {
	stats := a.store.Stats()
	info := desk.ServerInfo{Version: a.options.Version, Go: runtime.Version(), URL: a.url(), Data: a.config.Data, Started: a.started,
		StoreBytes: stats.Bytes, Commits: stats.Commits, Updates: stats.Updates, Mail: a.config.SMTP.Host != "", Problem: a.ready(ctx)}
	info.DiskFree, info.DiskSize = diskSpace(a.config.Data)
	return info
}

// configuration lists every key of the configuration in effect. Secrets have no key in the file, and are not here.
func (a *App) configuration() ([]desk.Setting, error) {
	now, err := a.config.Map()
	if err != nil {
		return nil, err
	}
	usual, err := Config{}.Map()
	if err != nil {
		return nil, err
	}
	plain := map[string]any{}
	flatten("", usual, plain)
	set := map[string]any{}
	flatten("", now, set)
	all := make([]desk.Setting, 0, len(set))
	for key, value := range set {
		all = append(all, desk.Setting{Key: key, Value: said(value), Default: reflect.DeepEqual(value, plain[key])})
	}
	return all, nil
}

// flatten joins the names of maps within maps with points.
func flatten(prefix string, in, out map[string]any) {
	for key, value := range in {
		if m, ok := value.(map[string]any); ok {
			flatten(prefix+key+".", m, out)
			continue
		}
		out[prefix+key] = value
	}
}

func said(value any) string {
	if value == nil {
		return ""
	}
	if list, ok := value.([]any); ok && len(list) == 0 {
		return ""
	}
	return fmt.Sprint(value)
}

// link makes a one-time link to an account.
func (a *App) link(ctx context.Context, by directory.Actor, kind directory.LinkKind, account directory.ID, life time.Duration) (string, time.Time, error) {
	secret, link, err := a.signIn.local.NewLink(ctx, by, kind, account, life)
	if err != nil {
		return "", time.Time{}, err
	}
	return a.url() + auth.LinkPath(kind, secret), link.Expires, nil
}

func (a *App) rotateKeys(ctx context.Context, by directory.Actor) (string, error) {
	return a.signIn.assertions.Rotate(ctx, by)
}
