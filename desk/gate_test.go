package desk_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app/apptest"
	"github.com/bizzstream/bizzscim/auth"
	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// limited fails unless an error says that somebody has to wait, and for how long.
func limited(t *testing.T, what string, err error) {
	t.Helper()
	var many *auth.TooManyError
	if directory.KindOf(err) != directory.RateLimited || !errors.As(err, &many) || many.Wait <= 0 || many.Wait > time.Minute || desk.WaitOf(err) != many.Wait {
		t.Errorf("%s: %v", what, err)
	}
}

// Two at once for each, so many for all; who leaves makes room, and only once.
func TestHeavyReadsAreFew(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	by := func(n int) directory.Actor {
		return directory.Actor{Role: directory.RoleOperator, ID: fmt.Sprint("somebody ", n)}
	}
	for what, c := range map[string]struct {
		enter func(*desk.Desk, directory.Actor) (func(), error)
		most  int
	}{"exports": {(*desk.Desk).Export, desk.MaxExports}, "reports": {desk.HoldReport, desk.MaxReports}} {
		d := newDesk(w)
		var leave []func()
		for n := range c.most {
			l, err := c.enter(d, by(n/2))
			w.Must(err)
			leave = append(leave, l)
			if n%2 == 1 {
				_, err = c.enter(d, by(n/2))
				limited(t, "a third of "+what, err)
			}
		}
		_, err := c.enter(d, by(999))
		limited(t, "one more of all "+what, err)
		leave[0]()
		leave[0]()
		if _, err := c.enter(d, by(998)); err != nil {
			t.Errorf("%s: no room was made: %v", what, err)
		}
		_, err = c.enter(d, by(999))
		limited(t, "room for two of "+what, err)
	}
}

// A report for which there is no room is refused, a brief one never.
func TestReportsAreFew(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	d, by := newDesk(w), partner(w.Fjord)
	for range 2 {
		if _, err := d.LeaversAndJoiners(t.Context(), by, desk.ReportFilter{}); err != nil {
			t.Error(err)
		}
	}
	for range 2 {
		_, err := desk.HoldReport(d, by)
		w.Must(err)
	}
	_, err := d.LeaversAndJoiners(t.Context(), by, desk.ReportFilter{})
	limited(t, "a third report", err)
	_, err = d.SignedReport(t.Context(), by, desk.ReportFilter{})
	limited(t, "a third signed one", err)
	if _, err = d.LeaversAndJoiners(t.Context(), by, desk.ReportFilter{Brief: true}); err != nil {
		t.Error(err)
	}
}

// A list of addresses is not to be tried: sixty within a minute, whatever came of them. An operator knows them all.
func TestAddingPeopleIsLimited(t *testing.T) {
	t.Parallel()
	w := apptest.New(t, nil)
	now := w.Now()
	d := desk.New(desk.Config{Service: w.Service, Now: func() time.Time { return now }, NoPassword: w.App.Desk().NoPassword, MailPassword: w.App.Desk().MailPassword})
	by, env := administrator(w.Fjord), w.Fjord.Production.ID
	by.ID = "an administrator"
	try := func(by directory.Actor) error {
		_, err := d.AddUser(t.Context(), by, env, desk.NewUser{Email: "no address", Name: "X"})
		return err
	}
	for range 60 {
		if err := try(by); directory.KindOf(err) != directory.Invalid {
			t.Fatal(err)
		}
		now = now.Add(time.Second / 2)
	}
	limited(t, "one more", try(by))
	for _, other := range []directory.Actor{apptest.Operator, {Role: by.Role, Reach: by.Reach, ID: "another"}} {
		for range 3 {
			if err := try(other); directory.KindOf(err) != directory.Invalid {
				t.Error(err)
			}
		}
	}
	for range 70 {
		if err := try(apptest.Operator); directory.KindOf(err) != directory.Invalid {
			t.Fatal(err)
		}
	}
	now = now.Add(31 * time.Second)
	if err := try(by); directory.KindOf(err) != directory.Invalid {
		t.Error(err)
	}
}
