// What the pages of the staff do beyond showing themselves: regions that change by themselves, times, copying.
// Everything works without it.

const lang = document.documentElement.lang;
// The page's language, in the way of the country that the browser is set to; English elsewhere counts to 24 hours.
const locale = navigator.languages.find((l) => l.split("-")[0] === lang) ?? (lang === "en" ? "en-GB" : lang);
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const days = new Intl.NumberFormat(locale, { style: "unit", unit: "day", unitDisplay: "long" });
const spans = [["day", 86_400_000], ["hour", 3_600_000], ["minute", 60_000]];

// now is the server's time: the clock of the viewer may be wrong.
const offset = Number(document.querySelector("[data-now]").dataset.now) - Date.now();
const now = () => Date.now() + offset;

function ago(at) {
  const away = at - now();
  for (const [unit, ms] of spans) if (Math.abs(away) >= ms) return relative.format(Math.trunc(away / ms), unit);
  return relative.format(0, "minute");
}

function countdown(at) {
  const s = Math.max(0, Math.ceil((at - now()) / 1000));
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

// bare is what a region says, as one parser has it: the times that are written for the viewer are left out.
function bare(html) {
  const box = document.createElement("template");
  box.innerHTML = html;
  for (const time of box.content.querySelectorAll("time")) time.textContent = "";
  return box.innerHTML;
}

// known tells an element of a region from the others, so that the one in its stead is found.
function known(element) {
  if (element.id) return element.id;
  if (element.matches("summary")) return `${known(element.parentElement)} summary`;
  const { form } = element, hidden = form ? [...form.querySelectorAll('input[type="hidden"]')].map((field) => field.value) : [];
  const of = ["href", "aria-label", "name", element.matches("button, [type=radio], [type=checkbox]") ? "value" : "type"].map((name) => element.getAttribute(name));
  return [element.nodeName, ...of, form?.getAttribute("action"), ...hidden].join("\n");
}

// changed reports whether somebody has typed or chosen something in a field.
function changed(field) {
  if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected);
  return field.value !== field.defaultValue || field.checked !== field.defaultChecked;
}

const shown = new WeakMap(); // what each region says

// put shows what the server says of a region, unless it says that already. Where somebody is stays: the focus, what they have
// opened, typed or chosen, how far a table is scrolled.
function put(region, html) {
  const says = bare(html);
  if (shown.get(region) !== says) {
    shown.set(region, says);
    const alike = (name) => [...region.querySelectorAll("*")].filter((element) => known(element) === name);
    const successor = (element) => {
      const name = known(element), nth = alike(name).indexOf(element);
      return () => alike(name)[nth];
    };
    const kept = [];
    const keep = (element, how) => {
      const find = successor(element);
      kept.push(() => { const next = find(); if (next) how(next); });
    };
    for (const details of region.querySelectorAll("details[open]")) keep(details, (next) => { next.open = true; });
    for (const table of region.querySelectorAll(".scroll")) {
      const { scrollLeft, scrollTop } = table;
      if (scrollLeft || scrollTop) keep(table, (next) => next.scrollTo(scrollLeft, scrollTop));
    }
    for (const field of region.querySelectorAll("input, select, textarea")) {
      const { value, checked } = field;
      if (changed(field)) keep(field, (next) => Object.assign(next, { value }, checked === undefined ? {} : { checked }));
    }
    const focus = document.activeElement;
    if (focus !== region && region.contains(focus)) {
      const { selectionStart: start, selectionEnd: end, selectionDirection: way } = focus;
      const find = successor(focus);
      kept.push(() => {
        const next = find();
        if (!next) region.tabIndex = -1; // what had the focus is gone: its place is not
        (next ?? region).focus({ preventScroll: true });
        if (next && typeof start === "number") next.setSelectionRange(start, end, way);
      });
    }
    region.innerHTML = html;
    for (const back of kept) back();
    times(region);
    copies(region);
    tables(region);
  }
}

// speak tells those who hear the page what a region says.
function speak(region) {
  const say = document.getElementById(region.dataset.say);
  const text = region.querySelector("[data-spoken]")?.textContent.trim();
  if (!say || !text || say.textContent === text) return false;
  say.textContent = text;
  return true;
}

// leave goes to the page as it is by now, which says why it shows no more of what it did. A page that answers a form is not
// loaded anew: that would send the form again.
function leave() {
  location.replace(document.querySelector('form[action="/preferences"] [name="next"]').value);
}

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
      put(region, event.data);
      if (Date.now() - spoken >= 5_000 && speak(region)) spoken = Date.now();
    });
    source.addEventListener("over", () => {
      source.close();
      if (region.dataset.over !== "stay") leave();
    });
    source.addEventListener("gone", () => {
      source.close();
      leave();
    });
  }
}

// poll asks for a region every few seconds, where no session could keep a stream open, until who looks may see it no more. What
// is shown once on the page is left to be copied.
function poll(region) {
  const ask = async () => {
    const answer = await fetch(region.dataset.poll, { headers: { Accept: "text/html" } }).catch(() => null);
    if (answer && !answer.ok && answer.status < 500 && answer.status !== 429) {
      if (!document.querySelector(".once")) return leave();
      const ended = Object.assign(document.createElement("p"), { className: "flash warn", textContent: region.dataset.ended });
      ended.dataset.spoken = "";
      document.querySelector(".note[data-now]").remove(); // until when the link works
      put(region, ended.outerHTML);
      return speak(region);
    }
    if (answer?.ok) {
      put(region, await answer.text());
      speak(region);
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

const regions = document.querySelectorAll("[data-live], [data-poll]");
for (const region of regions) shown.set(region, bare(region.innerHTML));
times();
plots();
moments();
copies();
tables();
setInterval(times, 1_000);
for (const region of regions) (region.dataset.live ? live : poll)(region);
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
