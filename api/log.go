package api

import (
	"context"
	"net/http"
	"time"

	"github.com/bizzstream/bizzscim/desk"
	"github.com/bizzstream/bizzscim/directory"
)

// logInput selects lines of the provisioning log.
type logInput struct {
	PageInput
	Tenant      string    `query:"tenant" format:"uuid" doc:"Lines of this tenant alone"`
	Environment string    `query:"environment" format:"uuid" doc:"Lines alone that changed an access to this environment"`
	Person      string    `query:"person" format:"uuid" doc:"Account: lines alone that are about this person, or changed an access of theirs"`
	Run         string    `query:"run" format:"uuid" doc:"Lines alone that this run wrote"`
	Status      string    `query:"status" enum:"success,failure,skipped,warning"`
	Action      string    `query:"action" enum:"create,update,disable,enable,delete,other"`
	Channel     string    `query:"channel" enum:"push,pull,console,api,cli,system"`
	Identity    string    `query:"identity" maxLength:"256" doc:"Part of a name, an external id or a SCIM id, without regard to case"`
	From        time.Time `query:"from" doc:"Lines since then"`
	To          time.Time `query:"to" doc:"Lines until then"`
}

func (in *logInput) filter() desk.LogFilter {
	return desk.LogFilter{Tenant: idOr(in.Tenant), Environment: idOr(in.Environment), Person: idOr(in.Person), Run: idOr(in.Run),
		Status: in.Status, Action: in.Action, Channel: in.Channel, Identity: in.Identity, From: in.From, To: in.To}
}

// idOr reads an id that the schema has checked; zero where there is none.
func idOr(text string) directory.ID {
	id, _ := directory.ParseID(text)
	return id
}

type logLineInput struct {
	Tenant   string `path:"tenant" format:"uuid"`
	Sequence uint64 `path:"sequence" minimum:"1"`
}

type auditInput struct {
	PageInput
	Actor  string    `query:"actor" maxLength:"256" doc:"Part of the id, the name or the address of who did it"`
	Action string    `query:"action" maxLength:"64" doc:"An action, such as token.revoke, or all that begin with it, such as token"`
	Target string    `query:"target" maxLength:"256" doc:"Part of what it was done to"`
	From   time.Time `query:"from" doc:"Entries since then"`
	To     time.Time `query:"to" doc:"Entries until then"`
}

type reportInput struct {
	From        time.Time `query:"from" doc:"Beginning of the period; without it 30 days before its end"`
	To          time.Time `query:"to" doc:"End of the period; without it now"`
	Tenant      string    `query:"tenant" format:"uuid"`
	Environment string    `query:"environment" format:"uuid"`
}

func (in *reportInput) filter() desk.ReportFilter {
	return desk.ReportFilter{From: in.From, To: in.To, Tenant: idOr(in.Tenant), Environment: idOr(in.Environment)}
}

// signedOutput is a JWS.
type signedOutput struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

func (h *Handler) log() {
	d, tag := h.config.Desk, "Log and audit"
	add(h, operation{method: http.MethodGet, path: "/log", id: "listLog", tag: tag, scope: "log:read",
		summary: "List the provisioning log", description: "Newest first. A page may hold few lines, or none, and still have \"next\": the server looks at a bounded number of lines for each page, and \"next\" goes on further back."},
		func(ctx context.Context, by directory.Actor, in *logInput) (*body[desk.List[desk.LogLine]], error) {
			return answer(d.Log(ctx, by, in.filter(), in.page()))
		})
	add(h, operation{method: http.MethodGet, path: "/log/{tenant}/{sequence}", id: "getLogLine", tag: tag, scope: "log:read",
		summary: "Get one line of the provisioning log", description: "With what was asked, what changed field by field, which accesses began or ended, and how many sessions. Requests and answers are those that were kept: 404 for a line that the retention has removed."},
		func(ctx context.Context, by directory.Actor, in *logLineInput) (*body[desk.LogDetail], error) {
			return answer(d.LogLine(ctx, by, idOr(in.Tenant), in.Sequence))
		})
	add(h, operation{method: http.MethodGet, path: "/audit", id: "listAudit", tag: tag, scope: "audit:read",
		summary: "List the audit", description: "Newest first; for operators. Nothing is ever removed from it."},
		func(ctx context.Context, by directory.Actor, in *auditInput) (*body[desk.List[desk.AuditEntry]], error) {
			return answer(d.Audit(ctx, by, desk.AuditFilter{Actor: in.Actor, Action: in.Action, Target: in.Target, From: in.From, To: in.To}, in.page()))
		})
	add(h, operation{method: http.MethodPost, path: "/audit/verify", id: "verifyAudit", tag: tag, scope: "audit:read",
		summary: "Verify the audit", description: "Walks all entries, and compares each with its hash and with that of the one before it. For operators."},
		func(ctx context.Context, by directory.Actor, _ *struct{}) (*body[desk.AuditCheck], error) {
			return answer(d.VerifyAudit(ctx, by))
		})
	add(h, operation{method: http.MethodGet, path: "/report/leavers-and-joiners", id: "getLeaversAndJoiners", tag: tag, scope: "log:read",
		summary: "Report leavers and joiners", description: "Who lost and who gained access in a period, and how long that took after the directory's word of it."},
		func(ctx context.Context, by directory.Actor, in *reportInput) (*body[desk.Report], error) {
			return answer(d.LeaversAndJoiners(ctx, by, in.filter()))
		})
	signed := operation{method: http.MethodGet, path: "/report/leavers-and-joiners/signed", id: "getSignedLeaversAndJoiners", tag: tag, scope: "log:read",
		summary: "Report leavers and joiners, signed", description: "The same report as a JWS in compact form (application/jose), signed with ES256 by a key of /.well-known/jwks.json."}
	add(h, signed,
		func(ctx context.Context, by directory.Actor, in *reportInput) (*signedOutput, error) {
			text, err := d.SignedReport(ctx, by, in.filter())
			if err != nil {
				return nil, err
			}
			return &signedOutput{"application/jose", []byte(text)}, nil
		})
	h.answersWith(signed, "The signed report", "application/jose", "eyJhbGciOiJFUzI1NiJ9.eyJsZWF2ZXJzIjpbXX0.c2lnbmF0dXJl")
}
