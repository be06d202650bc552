package webhook_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/bizzstream/bizzscim/app"
	"github.com/bizzstream/bizzscim/directory"
	"github.com/bizzstream/bizzscim/webhook"
)

func (r *rig) format(f directory.WebhookFormat, url string) {
	r.Helper()
	_, err := r.svc.SetWebhook(context.Background(), operator, r.webhook.ID, directory.WebhookInput{Format: &f, URL: &url}, nil)
	r.must(err)
}

func bodies(all []attempt) (out []string) {
	for _, a := range all {
		out = append(out, a.body)
	}
	return out
}

func accept(context.Context, attempt) webhook.Answer { return webhook.Answer{Status: 202} }

func token(u *directory.User) string { return `signed {"account":"` + u.AccountID.String() + `"}` }

// TestTokensHaveTheQueueOfWebhooks: retries, the order of what is about one person, what was not written down, and a refusal for good.
func TestTokensHaveTheQueueOfWebhooks(t *testing.T) {
	bubble(t, func(r *rig) {
		r.format(directory.FormatPush, "https://hooks.example/1")
		answers := map[string]webhook.Answer{}
		ada, bob := r.user("ada"), r.user("bob")
		answers[token(ada)] = webhook.Answer{Status: 400, Error: "400", Text: `{"err":"invalid_audience"}`}
		r.say(func(_ context.Context, a attempt) webhook.Answer {
			if got, ok := answers[a.body]; ok {
				return got
			}
			return webhook.Answer{Status: 202}
		})
		r.rename(ada, "Ada")
		settle(time.Second)
		if got := bodies(r.all()); len(got) != 2 || !slices.Contains(got, token(ada)) || !slices.Contains(got, token(bob)) {
			t.Fatalf("what is about ada waits, what is about bob does not: %v", got)
		}
		if d := r.delivery(1); d.State != directory.DeliveryPending || d.Attempts != 1 || d.Last.Error != "the receiver refused the token: invalid_audience" {
			t.Errorf("%+v %+v", d, d.Last)
		}
		// What arrived, and could not be written down, comes again as it was.
		r.say(func(context.Context, attempt) webhook.Answer {
			r.kept.broken.Store(true)
			return webhook.Answer{Status: 202}
		})
		settle(10 * time.Second)
		r.kept.broken.Store(false)
		r.say(accept)
		settle(time.Minute)
		if got := bodies(r.all())[2:]; !slices.Equal(got, []string{token(ada), token(ada), token(ada)}) { // created, created again, updated
			t.Errorf("%v", got)
		}
		if d := r.delivery(3); d.State != directory.DeliveryDelivered {
			t.Errorf("%+v", d)
		}
		// Of no use however often it is sent: a dead letter at once, and what follows goes on.
		r.say(func(context.Context, attempt) webhook.Answer {
			return webhook.Answer{Status: 400, Error: "400", Text: `{"err":"invalid_request"}`}
		})
		r.rename(ada, "A")
		settle(time.Second)
		if d := r.delivery(4); d.State != directory.DeliveryDead || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// TestNothingIsSentUnsigned: a token that cannot be signed is not sent, and not lost.
func TestNothingIsSentUnsigned(t *testing.T) {
	bubble(t, func(r *rig) {
		r.format(directory.FormatPush, "https://hooks.example/1")
		r.say(accept)
		r.unsigned.Store(true)
		ada := r.user("ada")
		settle(5 * time.Minute)
		if got := r.all(); len(got) > 0 {
			t.Fatalf("%+v", got)
		}
		r.unsigned.Store(false)
		settle(time.Minute)
		if got := bodies(r.all()); !slices.Equal(got, []string{token(ada)}) {
			t.Errorf("%v", got)
		}
	})
}

// TestWhatIsFetchedIsNotPosted: it waits, and is posted when that is chosen instead.
func TestWhatIsFetchedIsNotPosted(t *testing.T) {
	bubble(t, func(r *rig) {
		r.say(accept)
		r.format(directory.FormatPoll, "")
		ada := r.user("ada")
		settle(time.Hour)
		if d := r.delivery(1); d.State != directory.DeliveryPending || d.Attempts != 0 || len(r.all()) > 0 {
			t.Fatalf("%+v, %v", d, r.all())
		}
		r.format(directory.FormatPush, "https://hooks.example/1")
		settle(time.Second)
		if got := bodies(r.all()); !slices.Equal(got, []string{token(ada)}) {
			t.Errorf("%v", got)
		}
		// One that is under way when it is to be fetched from now on is left as it is.
		r.say(func(context.Context, attempt) webhook.Answer { return webhook.Answer{Status: 503, Error: "503"} })
		r.user("bob")
		settle(time.Second)
		r.format(directory.FormatPoll, "")
		settle(5 * 24 * time.Hour)
		if d := r.delivery(2); d.State != directory.DeliveryPending || d.Attempts != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// TestWhoAnswersForWhatIsFetched: without that person's role nothing more is kept for it.
func TestWhoAnswersForWhatIsFetched(t *testing.T) {
	bubble(t, func(r *rig) {
		boss, err := r.svc.CreateOperator(context.Background(), operator, "boss@maxedy.example", "Boss")
		r.must(err)
		by := directory.Actor{Role: directory.RoleOperator, Channel: "console", ID: boss.ID.String()}
		format := directory.FormatPoll
		name := "stream"
		w, err := r.svc.CreateWebhook(context.Background(), by, app.NewID(), directory.WebhookInput{Name: &name, Format: &format}, nil, directory.NewWebhookSecret{ID: app.NewID(), Sealed: testSecret})
		r.must(err)
		r.webhook = w
		no := false
		_, err = r.svc.SetRoles(context.Background(), operator, boss.ID, directory.RoleInput{Operator: &no})
		r.must(err)
		r.user("ada")
		settle(2 * time.Minute)
		if w := r.current(); w.State != directory.WebhookDisabled {
			t.Errorf("%+v", w)
		}
	})
}

// TestWhatIsToBeFetchedMeanwhile: an attempt that waits for its turn when the tokens are to be fetched from then on posts nothing, and
// gives up nothing.
func TestWhatIsToBeFetchedMeanwhile(t *testing.T) {
	bubble(t, func(r *rig) {
		r.create("https://hooks.example/2")
		released := make(chan struct{})
		r.say(func(context.Context, attempt) webhook.Answer {
			<-released
			return webhook.Answer{Status: 202}
		})
		for _, name := range []string{"a", "b", "c", "d"} {
			r.user(name)
		}
		settle(time.Second) // both have all that one owner may have
		r.webhook = r.create("https://hooks.example/3")
		r.format(directory.FormatPush, "https://hooks.example/3")
		r.user("zoe")
		settle(time.Second)
		r.format(directory.FormatPoll, "")
		close(released)
		settle(time.Minute)
		if d := r.delivery(5); d.State != directory.DeliveryPending || d.Attempts != 0 {
			t.Errorf("%+v", d)
		}
	})
}
