// What pages do beyond showing themselves. Everything works without it; with it, times are local, details can be
// copied, and a page leaves by itself when its session ends.

const page = document.body.dataset;
const lang = document.documentElement.lang;

for (const time of document.querySelectorAll("time[data-local]")) {
  const style = time.dataset.local === "clock" ? { timeStyle: "short" } : { dateStyle: "medium", timeStyle: "short" };
  time.textContent = new Intl.DateTimeFormat(lang, style).format(new Date(time.dateTime));
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const rows = [...document.getElementById(button.dataset.copy).children];
    await navigator.clipboard.writeText(rows.map((row) => [...row.children].map((c) => c.textContent.trim()).join(": ")).join("\n"));
    button.textContent = button.dataset.done;
    document.getElementById("copy-say").textContent = button.dataset.done;
  });
}

// The address of a page that answers a directory holds a code that is spent: reloading it helps nobody.
if (location.pathname === "/auth/callback") history.replaceState(null, "", "/login");

if (page.expires) watch();

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
  let dirty = false;
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
    dirty = false;
    channel?.postMessage({ ended: reason });
    const query = new URLSearchParams({ reason: reason.replaceAll(" ", "-") });
    if (location.pathname !== "/") query.set("next", location.pathname + location.search);
    location.replace("/signed-out?" + query);
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
  document.addEventListener("input", (event) => { if (event.target.form) dirty = true; });
  document.addEventListener("submit", () => { dirty = false; });
  window.addEventListener("beforeunload", (event) => { if (dirty) event.preventDefault(); });
  dialog.addEventListener("close", () => { dismissed = true; show(); });
  document.getElementById("session-stay").addEventListener("click", () => dialog.close());

  channel?.postMessage({ expires });
  if (navigator.locks) navigator.locks.request("bizzstream-session", () => new Promise(listen)); // until the tab goes
  else listen();
  setInterval(tick, 1_000);
  show();
}
