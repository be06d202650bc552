package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestCrash kills the server with SIGKILL under 16 writers, again and again, and then looks for
// every write that was acknowledged, and for access that was derived by half: a person is in the
// synced group exactly when their access to the environment is active. BIZZSCIM_CRASH_ROUNDS sets
// the number of rounds.
func TestCrash(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a server many times")
	}
	rounds := 5
	if n, err := strconv.Atoi(os.Getenv("BIZZSCIM_CRASH_ROUNDS")); err == nil {
		rounds = n
	}
	c := newCrashed(t)
	for round := range rounds {
		c.start()
		c.verify(c.recent)
		c.recent = nil
		c.write(time.Duration(20+rand.IntN(120))*time.Millisecond, round)
		if t.Failed() {
			return
		}
	}
	c.start()
	c.verify(c.all)
	c.stop()
	if len(c.all) < rounds {
		t.Fatalf("only %d acknowledged writes in %d rounds: the test proves nothing", len(c.all), rounds)
	}
	t.Logf("%d rounds, %d people with acknowledged writes", rounds, len(c.all))
}

const crashWriters = 16

// person is what the server has acknowledged of one user. A write that was sent and not answered
// may or may not have happened, and both are right.
type person struct {
	id     string
	title  int // last acknowledged
	sent   int // last sent
	member bool
	doubt  bool // a change of membership was sent and not answered
}

type crashed struct {
	t           *testing.T
	binary, dir string
	base, token string
	group       string
	process     *exec.Cmd
	client      *http.Client
	all, recent []*person
}

func newCrashed(t *testing.T) *crashed {
	c := &crashed{t: t, dir: t.TempDir(), binary: filepath.Join(t.TempDir(), "bizzscim"),
		client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: crashWriters}}}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", c.binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.run("org", "create", "Fjord")
	c.run("tenant", "create", "fjord")
	c.run("tenant", "set", "fjord", "--org", "Fjord", "--rate", "100000", "--burst", "100000")
	c.run("env", "create", "Production", "--org", "Fjord")
	c.run("env", "integrate", "Production", "--tenant", "fjord", "--groups", "5a1e0a9c-6f1f-4c55-8a02-1b7f0f7f1111", "--default-menu", "Main")
	c.token = strings.TrimSpace(c.run("token", "create", "fjord"))
	c.start()
	status, body := c.do("POST", "/Groups", `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Crew","externalId":"5a1e0a9c-6f1f-4c55-8a02-1b7f0f7f1111"}`)
	if status != 201 {
		t.Fatalf("creating the group: %d %s", status, body)
	}
	c.group = decoded(t, body)["id"].(string)
	c.kill()
	return c
}

func (c *crashed) run(args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), c.binary, append(args, "--data", c.dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("bizzscim %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// start runs the server and waits until it serves.
func (c *crashed) start() {
	c.t.Helper()
	address := crashAddress(c.t)
	c.base = "http://" + address
	c.process = exec.Command(c.binary, "serve", "--data", c.dir, "--listen", address)
	log := &bytes.Buffer{}
	c.process.Stderr = log
	if err := c.process.Start(); err != nil {
		c.t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if res, err := c.client.Get(c.base + "/readyz"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			c.kill()
			c.t.Fatalf("the server is not ready: %s", log.String())
		}
	}
}

func (c *crashed) kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
	c.client.CloseIdleConnections()
}

func (c *crashed) stop() {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	if err := c.process.Wait(); err != nil {
		c.t.Errorf("the server did not end well: %v", err)
	}
}

// do sends a request; status 0 means that no answer came.
func (c *crashed) do(method, path, body string) (int, []byte) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+"/scim/fjord/v2"+path, strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/scim+json")
	res, err := c.client.Do(req)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, nil
	}
	return res.StatusCode, data
}

// write lets the writers work for a while and then kills the server under them.
func (c *crashed) write(d time.Duration, round int) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for w := range crashWriters {
		wg.Go(func() {
			for n := 0; ; n++ {
				p, goOn := c.writePerson(fmt.Sprintf("u-%d-%d-%d", round, w, n))
				if p != nil {
					mu.Lock()
					c.recent, c.all = append(c.recent, p), append(c.all, p)
					mu.Unlock()
				}
				if !goOn {
					return
				}
			}
		})
	}
	time.Sleep(d)
	c.kill()
	wg.Wait()
}

// writePerson creates a user, changes them and moves them in and out of the group.
func (c *crashed) writePerson(name string) (*person, bool) {
	status, body := c.do("POST", "/Users", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"title":"0"}`, name+"@fjord.example"))
	if status != 201 {
		c.unexpected("POST", status, body)
		return nil, false
	}
	p := &person{id: decoded(c.t, body)["id"].(string)}
	for n := 1; n <= 3; n++ {
		p.sent = n
		status, body = c.patch("/Users/"+p.id, fmt.Sprintf(`{"op":"replace","path":"title","value":"%d"}`, n))
		if status != 200 {
			c.unexpected("PATCH", status, body)
			return p, false
		}
		p.title = n
		op := fmt.Sprintf(`{"op":"add","path":"members","value":[{"value":%q}]}`, p.id)
		if p.member {
			op = fmt.Sprintf(`{"op":"remove","path":"members[value eq \"%s\"]"}`, p.id)
		}
		p.doubt = true
		if status, body = c.patch("/Groups/"+c.group, op); status != 204 {
			c.unexpected("PATCH of the group", status, body)
			return p, false
		}
		p.member, p.doubt = !p.member, false
	}
	return p, true
}

func (c *crashed) patch(path, op string) (int, []byte) {
	return c.do("PATCH", path, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[`+op+`]}`)
}

func (c *crashed) unexpected(what string, status int, body []byte) {
	if status != 0 {
		c.t.Errorf("%s answered %d: %s", what, status, body)
	}
}

func (c *crashed) verify(people []*person) {
	c.t.Helper()
	for _, p := range people {
		status, body := c.do("GET", "/Users/"+p.id, "")
		if status != 200 {
			c.t.Errorf("user %s was acknowledged and answers %d", p.id, status)
			continue
		}
		user := decoded(c.t, body)
		title, _ := strconv.Atoi(fmt.Sprint(user["title"]))
		if title < p.title || title > p.sent {
			c.t.Errorf("user %s has title %d; %d was acknowledged and %d sent", p.id, title, p.title, p.sent)
		}
		_, member := user["groups"]
		if !p.doubt && member != p.member {
			c.t.Errorf("user %s: member %v; %v was acknowledged", p.id, member, p.member)
		}
		if active := activeAccess(user); active != member {
			c.t.Errorf("user %s: member %v but access active %v: half applied", p.id, member, active)
		}
		p.member, p.doubt, p.title = member, false, title
	}
}

func activeAccess(user map[string]any) bool {
	ext, _ := user["urn:bizzstream:params:scim:schemas:extension:access:2.0:User"].(map[string]any)
	list, _ := ext["environments"].([]any)
	for _, e := range list {
		if env, _ := e.(map[string]any); env["active"] == true {
			return true
		}
	}
	return false
}

func decoded(t *testing.T, body []byte) map[string]any {
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}

// crashAddress finds a port of this machine that nobody listens on.
func crashAddress(t *testing.T) string {
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
