// What the pages of the staff do beyond showing themselves: regions that change by themselves, times, copying.
// Everything works without it.

const lang = document.documentElement.lang;
// The page's language, in the way of the country that the browser is set to; English elsewhere counts to 24 hours.
const locale = navigator.languages.find((l) => l.split("-")[0] === lang) ?? (lang === "en" ? "en-GB" : lang);
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const days = new Intl.NumberFormat(locale, { style: "unit", unit: "day", unitDisplay: "long" });
const spans = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

function ago(at) {
  const away = at - Date.now();
  for (const [unit, ms] of spans) if (Math.abs(away) >= ms) return relative.format(Math.trunc(away / ms), unit);
  return relative.format(0, "minute");
}

function countdown(at) {
  const s = Math.max(0, Math.ceil((at - Date.now()) / 1000));
  const two = (n) => String(n).padStart(2, "0");
  return s >= 86_400 ? days.format(Math.ceil(s / 86_400)) : s >= 3600 ? `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}` : `${two(Math.floor(s / 60))}:${two(s % 60)}`;
}

function times(root = document) {
  for (const time of root.querySelectorAll('time[data-local="ago"], time[data-local="countdown"]')) {
    const at = Date.parse(time.dateTime);
    const text = time.dataset.local === "ago" ? ago(at) : countdown(at);
    if (time.textContent !== text) time.textContent = text;
  }
  for (const time of root.querySelectorAll('time[data-local="moment"], time[data-local="clock"], time[data-local="day"]')) {
    const style = { clock: { timeStyle: "short" }, day: { dateStyle: "medium" } }[time.dataset.local] ?? { dateStyle: "medium", timeStyle: "short" };
    const text = new Intl.DateTimeFormat(locale, style).format(new Date(time.dateTime));
    if (time.textContent !== text) time.textContent = text;
  }
}

function copies(root = document) {
  for (const button of root.querySelectorAll("[data-copy-text]")) {
    if (button.dataset.ready) continue;
    button.dataset.ready = "1";
    button.hidden = false;
    const before = button.textContent;
    button.addEventListener("click", async () => {
      const text = await copy(document.getElementById(button.dataset.copyText)) ? button.dataset.done : button.dataset.byHand;
      button.textContent = said.textContent = text;
      setTimeout(() => { button.textContent = before; said.textContent = ""; }, 3_000);
    });
  }
}

// copy reports whether a text is on the clipboard. Where the browser refuses, it is left selected, to be copied by hand.
async function copy(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}

// said is what those who hear the page are told of a button that was pressed: its label names what it copies.
const said = document.createElement("p");
said.className = "unseen";
said.setAttribute("role", "status");
document.getElementById("main").append(said);

// live shows what the server says of a region, until nothing more will come: then the page is loaded anew. When nothing has
// been heard for a while the page says so, and goes on trying.
function live(region) {
  const lost = document.createElement("p");
  let spoken = 0, retry = 2_000, silent = 0;
  lost.setAttribute("role", "status");
  region.before(lost);
  const listen = () => follow(new EventSource(region.dataset.live));
  const tell = (text) => {
    lost.textContent = text;
    lost.className = text ? "flash warn" : "unseen";
  };
  tell("");
  listen();

  function follow(source) {
    source.addEventListener("error", () => {
      silent ||= setTimeout(tell, 5_000, document.body.dataset.lost);
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      setTimeout(listen, retry);
      retry = Math.min(retry * 2, 60_000);
    });
    source.addEventListener("html", (event) => {
      clearTimeout(silent);
      silent = 0;
      retry = 2_000;
      tell("");
      const open = new Set([...region.querySelectorAll("details[open][id]")].map((d) => d.id));
      const focus = region.contains(document.activeElement) && named(document.activeElement);
      region.innerHTML = event.data;
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      times(region);
      copies(region);
      tables(region);
      if (focus) [...region.querySelectorAll("a, button, summary, [tabindex]")].find((e) => named(e) === focus)?.focus({ preventScroll: true });
      const say = document.getElementById(region.dataset.say);
      const text = region.querySelector("[data-spoken]")?.textContent.trim();
      if (say && text && Date.now() - spoken >= 5_000 && say.textContent !== text) {
        spoken = Date.now();
        say.textContent = text;
      }
    });
    source.addEventListener("over", () => {
      source.close();
      if (region.dataset.over !== "stay") location.reload();
    });
    source.addEventListener("gone", () => { // the page itself says why
      source.close();
      location.reload();
    });
  }
}

// named tells an element of a region from the others, before and after the region is renewed.
const named = (e) => [e.tagName, e.id, e.getAttribute("href"), e.getAttribute("aria-label")].join("\n");

// poll asks for a region every few seconds, where no session could keep a stream open.
function poll(region) {
  const ask = async () => {
    const answer = await fetch(region.dataset.poll, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer && !answer.ok && answer.status < 500 && answer.status !== 429) return;
    if (answer?.ok) {
      const html = await answer.text();
      if (html !== region.dataset.last) {
        region.dataset.last = html;
        region.innerHTML = html;
        times(region);
        const say = document.getElementById(region.dataset.say);
        const text = region.querySelector("[data-spoken]")?.textContent.trim();
        if (say && text && say.textContent !== text) say.textContent = text;
      }
    }
    setTimeout(ask, 4_000);
  };
  setTimeout(ask, 4_000);
}

// tables lets the head of a table stay in sight while the page scrolls, where the table need not scroll sideways; then it is
// no stop of the keyboard either.
const fitting = new ResizeObserver((all) => {
  for (const { target } of all) {
    const scroll = target.closest(".scroll");
    if (!scroll) continue; // it was taken out of the page
    const fits = scroll.scrollWidth <= scroll.clientWidth;
    scroll.classList.toggle("fits", fits);
    scroll.tabIndex = fits ? -1 : 0;
  }
});
function tables(root = document) {
  for (const part of root.querySelectorAll(".scroll:not(.chart *), .scroll:not(.chart *) > table")) fitting.observe(part);
}

// plots names the bars of each plot as its table does, which has the times of the viewer.
function plots() {
  for (const plot of document.querySelectorAll(".chart")) {
    const rows = plot.querySelectorAll("tbody tr");
    plot.querySelectorAll("svg title").forEach((title, i) => { title.textContent = [...rows[i].cells].map((cell) => cell.textContent).join(": "); });
  }
}

// moments lets the ends of a period be written in the viewer's time. What is sent, and stands in the address for others to
// open, is the moment.
function moments() {
  const shown = new Map(); // what each field said at first, which stands for its moment to the millisecond
  const two = (n) => String(n).padStart(2, "0");
  for (const field of document.querySelectorAll("input[data-moment]")) {
    for (const label of field.labels) for (const zone of label.querySelectorAll("[data-zone]")) zone.textContent = zone.dataset.zone;
    if (!field.dataset.moment) continue;
    const at = new Date(field.dataset.moment), whole = new Date(+at + ("ends" in field.dataset ? 1 : 0));
    field.value = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
    if (whole.getHours() || whole.getMinutes()) field.value += ` ${two(at.getHours())}:${two(at.getMinutes())}`;
    shown.set(field, field.value);
  }
  document.addEventListener("formdata", ({ target, formData }) => {
    for (const field of target.querySelectorAll("input[data-moment]")) {
      const [, day, time] = /^(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d(?::\d\d)?))?$/.exec(field.value.trim()) ?? [];
      const at = new Date(`${day}T${time ?? "00:00"}`);
      if (shown.get(field) === field.value) formData.set(field.name, field.dataset.moment);
      else if (at.getDate() === Number(day?.slice(8))) { // not the 30th of February, which would be in March
        if ("ends" in field.dataset) {
          if (!time) at.setDate(at.getDate() + 1);
          else at.setTime(+at + (time.length > 5 ? 1_000 : 60_000));
          at.setTime(at - 1);
        }
        formData.set(field.name, at.toISOString());
      }
    }
  });
}

times();
plots();
moments();
copies();
tables();
setInterval(times, 1_000);
for (const region of document.querySelectorAll("[data-live]")) live(region);
for (const region of document.querySelectorAll("[data-poll]")) poll(region);
for (const select of document.querySelectorAll("select[data-submit]")) select.addEventListener("change", () => select.form.requestSubmit());

// On a narrow screen, tabs and navigation scroll sideways: where one is, is in sight.
for (const here of document.querySelectorAll(".tabs [aria-current], .side [aria-current]")) {
  const row = here.closest("ul"), at = here.getBoundingClientRect(), all = row.getBoundingClientRect();
  if (at.right > all.right) row.scrollLeft += at.right - all.right + 24;
}

// Escape closes what asks whether one is sure, and leads back to what has opened it.
document.addEventListener("keydown", (event) => {
  const ask = event.key === "Escape" && event.target.closest("details.confirm[open]");
  if (!ask) return;
  ask.open = false;
  ask.querySelector("summary").focus();
});

// "/" brings one to the search field, unless something is being typed.
const find = document.getElementById("find");
document.addEventListener("keydown", (event) => {
  if (!find || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog, [contenteditable]")) return;
  event.preventDefault();
  find.focus();
  find.select();
});
