// What pages do beyond showing themselves. Everything works without it; with it, times are local, details can be
// copied, and a page leaves by itself when its session ends.

const page = document.body.dataset;
const here = document.querySelector('form[action="/preferences"] [name="next"]').value; // this page, as it can be asked for again
const lang = document.documentElement.lang;
// The page's language, in the way of the country that the browser is set to; English elsewhere counts to 24 hours.
const locale = navigator.languages.find((l) => l.split("-")[0] === lang) ?? (lang === "en" ? "en-GB" : lang);

for (const time of document.querySelectorAll("time[data-local]")) {
  const style = { clock: { timeStyle: "short" }, day: { dateStyle: "medium" } }[time.dataset.local] ?? { dateStyle: "medium", timeStyle: "short" };
  time.textContent = new Intl.DateTimeFormat(locale, style).format(new Date(time.dateTime));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const facts = document.getElementById(button.dataset.copy);
    const text = [...facts.children].map((row) => [...row.children].map((c) => c.textContent.trim()).join(": ")).join("\n");
    let done = button.dataset.done;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // refused, or not there: it is selected, to be copied by hand
      getSelection().selectAllChildren(facts);
      if (!document.execCommand("copy")) done = button.dataset.byHand;
    }
    button.textContent = document.getElementById("copy-say").textContent = done;
  });
}

// What is on its way is not sent again by a double click: some forms make something new each time.
const sent = new Set();
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.getAttribute("method") !== "post") return;
  if (sent.has(form)) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
  sent.add(form);
  setTimeout(() => sent.delete(form), 3_000);
});

// The address of a page that answers a directory holds a code that is spent: reloading it helps nobody.
if (location.pathname === "/auth/callback") history.replaceState(null, "", "/login");

// A page that the browser kept and shows again is not the one that was sent: what its forms make is another thing.
window.addEventListener("pageshow", (event) => {
  if (event.persisted) for (const field of document.querySelectorAll('input[name="once"]')) field.value = crypto.randomUUID();
});

// What somebody types into a form stays in this tab when their session ends before it is saved, and is offered to them, and to nobody
// else, when they are back at that form. A form with a password or another secret is left out.
const typed = {
  // about tells a form from the others of its page: some go to one address, each about another thing.
  about: (form) => JSON.stringify([form.getAttribute("action"),
    ...[...form.querySelectorAll('[type="hidden"]:not([name="once"], [name="version"], [name="shown"])')].map((field) => field.value)]),
  keep(form, lost) {
    if (form.getAttribute("method") !== "post" || form.querySelector('[type="password"], [autocomplete="one-time-code"]')) return;
    const fields = new FormData(form);
    for (const field of form.querySelectorAll('[type="hidden"]')) fields.delete(field.name);
    const where = { account: page.account, path: here.split("?")[0], about: typed.about(form) };
    if ([...fields].length === 0) return;
    try {
      sessionStorage.setItem("typed", JSON.stringify({ ...where, lost, fields: [...fields] }));
    } catch {} // more than the browser keeps: the page has to go all the same
  },
  drop: () => sessionStorage.removeItem("typed"),
  offer() {
    const kept = JSON.parse(sessionStorage.getItem("typed"));
    if (!kept) return;
    if (!page.account) { // the server says that the form that was sent did nothing
      if (location.pathname === "/signed-out" && location.search.includes("unsaved=")) sessionStorage.setItem("typed", JSON.stringify({ ...kept, lost: true }));
      return;
    }
    if (kept.account !== page.account || !kept.lost) return typed.drop();
    const form = [...document.forms].find((form) => typed.about(form) === kept.about);
    if (here.split("?")[0] !== kept.path || !form) return;
    const box = document.getElementById("typed");
    form.before(box);
    for (let around = form.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
    box.hidden = false;
    box.addEventListener("click", ({ target }) => {
      if (!target.value) return;
      if (target.value === "back") typed.fill(form, kept.fields);
      typed.drop();
      box.remove();
    });
  },
  fill(form, fields) {
    for (const field of form.elements) {
      if (!field.name || field.matches("button, [type=hidden]")) continue;
      if (field.matches("[type=checkbox], [type=radio]")) {
        field.checked = fields.some(([name, value]) => name === field.name && value === field.value);
      } else {
        const at = fields.findIndex(([name]) => name === field.name);
        if (at >= 0) [[, field.value]] = fields.splice(at, 1);
      }
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    form.querySelector("input:not([type=hidden]), select, textarea").focus();
  },
};

if (page.expires) watch();
typed.offer();

// watch keeps the clock of the session. The server decides; this only knows what it said last.
function watch() {
  const minute = 60_000;
  const banner = document.getElementById("session-banner");
  const dialog = document.getElementById("session-dialog");
  const say = document.getElementById("session-say");
  const clocks = document.querySelectorAll("[data-clock]");
  const units = page.units.split(",");
  const channel = "BroadcastChannel" in window ? new BroadcastChannel("bizzstream-session") : null;

  let created = Number(page.created);
  let expires = Number(page.expires);
  let offset = Number(page.now) - Date.now(); // of the server's clock
  let spoken = Infinity; // seconds left when the dialog spoke last
  let dismissed = false;
  let leaving = false;
  let patient = false; // waits whether a new session takes the place of the one that was replaced
  const edited = new Set(); // forms with what is not saved
  const returned = document.querySelector("form[data-unsaved]"); // the server gave it back as it was typed
  let asking = null;
  let source = null;
  let retry = 1_000;
  let beat = { wall: Date.now(), steady: performance.now() };

  const left = () => expires - (Date.now() + offset);

  // The warnings, in milliseconds before the end. One that would lie before the start is left out; the last one
  // leaves at least 20 seconds to act, if the session lasts that long at all.
  function warnings() {
    const life = expires - created;
    return { early: life > 10 * minute ? 10 * minute : 0, last: life > minute ? minute : life > 20_000 ? Math.max(20_000, life / 2) : 0 };
  }

  function spell(ms) {
    const s = Math.max(0, Math.ceil(ms / 1000));
    if (s >= 3600) return `${Math.floor(s / 3600)} ${units[0]} ${Math.floor((s % 3600) / 60)} ${units[1]}`;
    return s >= 60 ? `${Math.floor(s / 60)} ${units[1]}` : `${s} ${units[2]}`;
  }

  function show() {
    const ms = left();
    const text = spell(ms);
    for (const clock of clocks) if (clock.textContent !== text) clock.textContent = text;
    const { early, last } = warnings();
    banner.hidden = !(ms <= early || (ms <= last && dismissed));
    if (ms > last) {
      if (dialog.open) dialog.close();
      dismissed = false;
      spoken = Infinity;
      return;
    }
    if (!dismissed && !dialog.open) dialog.showModal(); // moves the focus to its first button
    const s = Math.ceil(ms / 1000);
    for (const mark of [60, 30, 20, 10]) {
      if (s <= mark && spoken > mark) {
        spoken = s;
        say.textContent = say.dataset.text.replace("{left}", text);
      }
    }
  }

  function leave(reason) {
    if (leaving) return;
    leaving = true;
    for (const form of edited) if (form.isConnected) typed.keep(form, true);
    edited.clear();
    channel?.postMessage({ ended: reason });
    const query = new URLSearchParams({ reason: reason.replaceAll(" ", "-") });
    if (here !== "/") query.set("next", here);
    location.replace("/signed-out?" + query);
  }

  // part lets the answer to "sign out" lead on: hearing of the end first must not take its place, or nobody would be
  // signed out of the directory. If there is no answer, the page asks how things are.
  function part() {
    leaving = true;
    setTimeout(() => { leaving = false; ask(); }, 20_000);
  }

  // ask lets the server say how the session is. It does not count as activity. Without an answer, what is known
  // stays; when the time is over it is over.
  function ask(reason) {
    asking ??= (async () => {
      try {
        const answer = await fetch("/auth/session", { cache: "no-store", credentials: "same-origin", headers: { Accept: "application/json" } });
        if (answer.status === 401) {
          const problem = await answer.json().catch(() => ({}));
          if (problem.reason === "replaced" && !patient) return hold();
          // The browser drops the cookie when the time is over: then the server cannot know whose it was.
          const known = problem.reason && problem.reason !== "unknown";
          return leave(known ? problem.reason : reason || (left() < 2_000 ? "expired" : "unknown"));
        }
        if (!answer.ok) throw new Error(String(answer.status));
        patient = false;
        const now = await answer.json();
        if (now.accountId !== page.account) return location.reload(); // somebody else has signed in in another tab
        take(now.session.expiresAt, now.serverTime, now.session.created);
      } catch {
        if (reason || left() <= 0) leave(reason || "expired");
      } finally {
        asking = null;
      }
    })();
    return asking;
  }

  // hold gives the new cookie time to arrive: the server tells the open pages of a browser before that browser has
  // the answer to its new sign-in.
  function hold() {
    patient = true;
    setTimeout(() => ask("replaced"), 3_000);
  }

  function take(expiresAt, serverTime, createdAt) {
    const before = expires;
    expires = Date.parse(expiresAt);
    offset = Date.parse(serverTime) - Date.now();
    if (createdAt) created = Date.parse(createdAt);
    else if (expires !== before) ask();
    if (expires !== before) channel?.postMessage({ expires }); // the other tabs ask for themselves
    show();
  }

  function tick() {
    const now = { wall: Date.now(), steady: performance.now() };
    const jumped = Math.abs(now.wall - beat.wall - (now.steady - beat.steady)) > 5_000; // sleep, or the clock was set
    beat = now;
    if (jumped || left() <= 0) ask();
    show();
  }

  // listen hears of the end at once. Browsers open few connections to a server, so one tab listens for all.
  function listen() {
    source = new EventSource("/auth/events");
    source.addEventListener("session", (event) => {
      retry = 1_000;
      const now = JSON.parse(event.data);
      take(now.expiresAt, now.serverTime);
    });
    source.addEventListener("ended", (event) => {
      source.close();
      const { reason } = JSON.parse(event.data);
      if (reason === "replaced") hold();
      else ask(reason); // another tab may have signed in again meanwhile: the server knows
      setTimeout(() => leaving || listen(), 5_000);
    });
    source.addEventListener("error", () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      ask().then(() => leaving || again());
    });
  }

  function again() {
    setTimeout(listen, retry);
    retry = Math.min(retry * 2, minute);
  }

  channel?.addEventListener("message", (event) => {
    if (event.data.ended && event.data.ended !== "replaced") ask(event.data.ended);
    else if (event.data.expires !== expires) ask();
  });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && ask());
  window.addEventListener("pageshow", (event) => event.persisted && ask());
  window.addEventListener("online", () => ask());
  document.addEventListener("input", (event) => { if (event.target.form) edited.add(event.target.form); });
  document.addEventListener("submit", (event) => {
    if (returned) edited.add(returned);
    // The form that is sent is not lost, nor is what a list is filtered by: of what is typed into others the browser asks.
    for (const form of edited) if (form === event.target || !form.isConnected || form.getAttribute("method") !== "post") edited.delete(form);
    if (event.target.getAttribute("action") !== "/logout") return typed.keep(event.target, false);
    typed.drop();
    edited.clear();
    part();
  });
  window.addEventListener("beforeunload", (event) => { if (edited.size > 0) event.preventDefault(); });
  dialog.addEventListener("close", () => { dismissed = true; show(); });
  document.getElementById("session-stay").addEventListener("click", () => dialog.close());

  channel?.postMessage({ expires });
  if (navigator.locks) navigator.locks.request("bizzstream-session", () => new Promise(listen)); // until the tab goes
  else listen();
  setInterval(tick, 1_000);
  show();
}
