// What people do, in a real browser. Each scenario gets a browser and what the Go side has set up: base (of the
// server), scim and token (to push as the directory does), login (the directory's pages), people, setup (the link
// of the first operator).
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { accessible, clean, heading, open } from './page.mjs';

const scenarios = new Map();
const scenario = (name, run) => scenarios.set(name, run);

export function find(name) {
  const run = scenarios.get(name);
  assert.ok(run, `there is no scenario ${name}`);
  return run;
}

// pick answers the directory's page. With single sign-on there is none.
async function pick(page, person) {
  await page.locator(`button[data-upn="${person.upn}"]`).click();
}

async function signIn(page, world, person, path = '/login') {
  await page.goto(world.base + path);
  if (new URL(page.url()).origin === world.base) {
    await page.getByLabel('Work e-mail address').fill(`somebody@${world.domain}`);
    await page.getByRole('button', { name: 'Next' }).click();
  }
  await page.waitForURL(world.login + '**');
  await pick(page, person);
  await page.waitForURL((url) => url.origin === world.base);
}

// push is what the directory sends.
async function push(world, person, active) {
  const answer = await fetch(`${world.scim}/Users/${person.scim}`, {
    method: 'PATCH',
    headers: { Authorization: `Bearer ${world.token}`, 'Content-Type': 'application/scim+json' },
    body: JSON.stringify({ schemas: ['urn:ietf:params:scim:api:messages:2.0:PatchOp'], Operations: [{ op: 'Replace', path: 'active', value: active ? 'True' : 'False' }] }),
  });
  assert.equal(answer.status, 200);
}

// deaf keeps a page from hearing of its session by itself: the stream is asked for, and never answered.
const deaf = (page) => page.route('**/auth/events', () => {});

// asked counts what a page asks of the server about its session.
function asked(page) {
  const count = { n: 0 };
  page.on('request', (request) => { if (new URL(request.url()).pathname === '/auth/session') count.n++; });
  return count;
}

async function cookie(page, name) {
  return (await page.context().cookies()).find((c) => c.name === name);
}

scenario('login and use', async (browser, world) => {
  const page = await open(browser);
  await page.goto(world.base + '/account');
  assert.equal(new URL(page.url()).pathname, '/login', 'a page that needs a session leads to the sign-in');
  await accessible(page);

  await page.getByLabel('Work e-mail address').fill('nobody@elsewhere.example');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('This address does not tell us where you sign in').waitFor();
  await accessible(page);

  await page.getByLabel('Work e-mail address').fill(`marta@${world.domain}`);
  await page.getByRole('button', { name: 'Next' }).click();
  await page.waitForURL(world.login + '**');
  await pick(page, world.people.Marta);
  await page.waitForURL(world.base + '/account');
  await heading(page, 'Your account');
  assert.ok(!page.url().includes('code='), 'the code does not stay in the address');
  await accessible(page);

  const kept = await cookie(page, '__Host-session');
  assert.deepEqual([kept.httpOnly, kept.secure, kept.sameSite, kept.path], [true, true, 'Lax', '/']);

  await page.getByRole('link', { name: 'Home' }).click();
  await heading(page, `Hello, ${world.people.Marta.name}`);
  await page.getByText('Production').waitFor();
  await accessible(page);

  const who = await page.evaluate(async () => (await fetch('/auth/session')).json());
  assert.equal(who.userName, world.people.Marta.upn);
  assert.equal(who.environments.length, 1);
  const life = Date.parse(who.session.expiresAt) - Date.parse(who.session.created);
  assert.equal(life, 8 * 3600 * 1000);

  // The link of an environment; the directory remembers who it is.
  const other = await page.context().newPage();
  await other.goto(`${world.base}/login/environment/${world.environment}`);
  await other.waitForURL(world.base + '/');
  // The session that the browser had is replaced: a new one at each sign-in.
  const now = await cookie(page, '__Host-session');
  assert.notEqual(now.value, kept.value);
  const old = await fetch(world.base + '/auth/session', { headers: { Cookie: `__Host-session=${kept.value}` } });
  assert.equal(old.status, 401);
  assert.equal((await old.json()).reason, 'replaced');

  await page.goto(world.base + '/');
  await page.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
  await heading(page, 'You are signed out');
  await accessible(page);
  assert.equal(await cookie(page, '__Host-session'), undefined);
  await page.goBack();
  await page.waitForURL(/\/(login|signed-out)/);
  await page.goto(world.base + '/login');
  await page.getByRole('button', { name: 'Continue with Fjord Logistics' }).waitFor(); // the choice is remembered
  clean(page);
});

scenario('deactivated while the page is open', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Jonas);
  await heading(page, `Hello, ${world.people.Jonas.name}`);
  const kept = await cookie(page, '__Host-session');

  await push(world, world.people.Jonas, false);
  const next = await fetch(world.base + '/auth/session', { headers: { Cookie: `__Host-session=${kept.value}` } });
  assert.equal(next.status, 401, 'the next request is refused');
  assert.equal((await next.json()).reason, 'deactivated');

  await page.waitForURL('**/signed-out?*reason=deactivated*'); // by itself
  await heading(page, 'Your access has ended');
  await page.getByText('Your organization has ended your access').waitFor();
  await accessible(page);

  // Signing in again is refused, and says why.
  await page.getByRole('link', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Continue with Fjord Logistics' }).click();
  await heading(page, 'Your account is disabled');
  await page.getByText('servicedesk@fjord.example').waitFor();

  // Back again: the old session stays dead, a new one lives.
  await push(world, world.people.Jonas, true);
  const after = await fetch(world.base + '/auth/session', { headers: { Cookie: `__Host-session=${kept.value}` } });
  assert.equal(after.status, 401);
  await page.goto(world.base + '/login');
  await page.getByRole('button', { name: 'Continue with Fjord Logistics' }).click();
  await heading(page, `Hello, ${world.people.Jonas.name}`);
  clean(page);
});

scenario('sign out everywhere', async (browser, world) => {
  const [office, home, phone] = [await open(browser), await open(browser), await open(browser, { viewport: { width: 390, height: 844 }, hasTouch: true })];
  for (const page of [office, home, phone]) await signIn(page, world, world.people.Ana);
  await office.goto(world.base + '/account');
  const rows = office.getByRole('region', { name: 'Where you are signed in' }).getByRole('listitem');
  assert.equal(await rows.count(), 3);
  await office.getByText('This browser').waitFor();

  // One from here: its open page says why.
  await rows.filter({ hasNotText: 'This browser' }).first().getByRole('button', { name: 'Sign out' }).click();
  await office.getByText('That session is signed out.').waitFor();
  await Promise.any([home, phone].map((page) => page.waitForURL('**/signed-out?*reason=revoked*')));
  // All others.
  await office.getByRole('button', { name: 'Sign out everywhere else' }).click();
  await office.getByText('You are signed out everywhere else.').waitFor();
  for (const page of [home, phone]) await page.waitForURL('**/signed-out?*reason=revoked*');
  await office.reload();
  await heading(office, 'Your account');
  for (const page of [office, home, phone]) clean(page);
});

scenario('sign out of the directory too', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Marta);
  // The page hears that the session is over before the answer to the form is there: it must wait for that.
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  await network.send('Network.emulateNetworkConditions', { offline: false, latency: 2_000, downloadThroughput: -1, uploadThroughput: -1 });
  await page.route('**/auth/session', (route) => route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"reason":"signed out"}' }));
  await page.getByRole('button', { name: 'Sign out of Microsoft too' }).click();
  await page.waitForURL(world.base + '/signed-out**');
  await heading(page, 'You are signed out');
  // The directory asks again who it is.
  await page.goto(`${world.base}/login/environment/${world.environment}`);
  await page.waitForURL(world.login + '**');
  await page.locator('#username').waitFor();
  clean(page);
});

scenario('front-channel logout', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Marta);
  const away = await page.context().newPage();
  await away.goto(`${world.login}${world.directory}/oauth2/v2.0/logout`);
  if (await away.locator(`button[data-upn="${world.people.Marta.upn}"]`).count()) await pick(away, world.people.Marta);
  await page.waitForURL('**/signed-out?*reason=directory*');
  await heading(page, 'You were signed out');
  clean(page);
});

scenario('pages that say no', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Stranger);
  await heading(page, 'You are not known here yet');
  await page.getByText('servicedesk@fjord.example').waitFor();
  await accessible(page);
  assert.equal(await cookie(page, '__Host-session'), undefined);
  await page.reload(); // the answer of the directory is spent, and the address no longer holds it
  assert.ok(!page.url().includes('code='));

  const cancelled = await open(browser);
  await cancelled.goto(`${world.base}/login/environment/${world.environment}`);
  await cancelled.locator('#cancel').click();
  await heading(cancelled, 'Sign-in cancelled');
  await accessible(cancelled);

  await page.goto(world.base + '/auth/callback?code=x&state=y');
  await heading(page, 'Please start again');
  await page.goto(world.base + '/auth/callback?error=access_denied&error_description=%3Cscript%3Ealert(1)%3C%2Fscript%3E');
  await heading(page, 'Please start again');
  assert.equal(await page.getByText('alert(1)').count(), 0);
  await page.goto(world.base + '/login/environment/0190c1a2-0000-7000-8000-000000000001');
  await heading(page, 'Sign-in is not set up');
  await page.goto(world.base + '/nothing/here');
  await heading(page, 'Page not found');
  await accessible(page);
  for (const target of ['https://evil.example', '//evil.example', '/\\evil.example', 'javascript:alert(1)']) {
    await page.goto(world.base + '/signed-out?reason=expired&next=' + encodeURIComponent(target));
    const href = await page.getByRole('link', { name: 'Sign in' }).getAttribute('href');
    assert.ok(!href.includes('evil') && !href.includes('javascript'), href);
  }
  clean(page);
  clean(cancelled);
});

scenario('without JavaScript', async (browser, world) => {
  const page = await open(browser, { javaScriptEnabled: false });
  await signIn(page, world, world.people.Marta);
  await heading(page, `Hello, ${world.people.Marta.name}`);
  const refresh = await page.locator('noscript meta[http-equiv="refresh"], meta[http-equiv="refresh"]').getAttribute('content');
  assert.match(refresh, /^28[78]\d\d; url=\/signed-out\?reason=expired$/);
  await page.goto(world.base + '/account');
  await heading(page, 'Your account');
  await page.getByRole('button', { name: 'Nederlands' }).click();
  await heading(page, 'Uw account');
  await page.getByRole('banner').getByRole('button').click();
  await page.waitForURL('**/signed-out?reason=signed-out');
});

// code is the code of a second factor (RFC 6238) for a base32 secret.
function code(secret, at = Date.now()) {
  const bits = [...secret.replaceAll(/[\s=]/g, '')].map((c) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((b) => Number.parseInt(b, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / 30_000)));
  const mac = createHmac('sha1', key).update(counter).digest();
  const offset = mac.at(-1) & 15;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

scenario('the first operator', async (browser, world) => {
  const page = await open(browser);
  await page.goto(world.setup);
  await heading(page, 'Make the first operator');
  await accessible(page);
  await page.getByLabel('E-mail address').fill('ana@maxedy.example');
  await page.getByLabel('Name', { exact: true }).fill('Ana Maxedy');
  await page.getByLabel('Password', { exact: true }).fill('password1234');
  await page.getByLabel('The same password again').fill('password1234');
  await page.getByRole('button', { name: 'Make the operator' }).click();
  await page.getByText('Choose another password').waitFor();
  assert.equal(await page.getByLabel('Password', { exact: true }).inputValue(), '', 'no password is ever sent back');
  const password = 'four unrelated garden words';
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByLabel('The same password again').fill(password);
  await page.getByRole('button', { name: 'Make the operator' }).click();
  await page.waitForURL((url) => !url.pathname.startsWith('/setup'));
  if (new URL(page.url()).pathname === '/operator') {
    await page.getByLabel('E-mail address').fill('ana@maxedy.example');
    await page.getByLabel('Password', { exact: true }).fill(password);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }
  await heading(page, 'Hello, Ana Maxedy');
  await page.getByText('Operator', { exact: true }).waitFor();

  await page.goto(world.base + '/account/second-factor');
  const secret = await page.locator('code.secret').innerText();
  await accessible(page);
  await page.getByLabel('Current password').fill('not the right words');
  await page.getByLabel('Six-digit code').fill(code(secret));
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByText('This is not your current password').waitFor();
  await page.getByLabel('Current password').fill(password);
  await page.getByLabel('Six-digit code').fill('000000');
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByText('This code is not right').waitFor();
  assert.equal(await page.getByLabel('Current password').inputValue(), '', 'no password is ever sent back');
  await page.getByLabel('Current password').fill(password);
  await page.getByLabel('Six-digit code').fill(code(secret)); // good for this half minute and the next
  await page.getByRole('button', { name: 'Turn on' }).click();
  await page.getByText('The second factor is on.').waitFor();
  await accessible(page);
  await page.getByRole('banner').getByRole('button', { name: 'Sign out' }).click();
  await heading(page, 'You are signed out');

  await page.goto(world.base + '/operator');
  await accessible(page);
  await page.getByLabel('E-mail address').fill('ana@maxedy.example');
  await page.getByLabel('Password', { exact: true }).fill('not the right words');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').getByText('is not right').waitFor();
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Enter the code of your authenticator').waitFor();
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByLabel('Six-digit code').fill(code(secret, Date.now() + 30_000)); // another than the one that was used
  await page.getByRole('button', { name: 'Sign in' }).click();
  await heading(page, 'Hello, Ana Maxedy');

  await page.goto(world.setup);
  await page.getByRole('heading', { level: 1, name: /does not work any more|Already set up/ }).waitFor();
  clean(page);
});

scenario('keyboard, small screens, dark, Dutch', async (browser, world) => {
  const page = await open(browser, { viewport: { width: 320, height: 700 }, colorScheme: 'dark', locale: 'nl-NL' });
  await page.goto(world.base + '/login');
  await heading(page, 'Aanmelden');
  await accessible(page);
  await page.keyboard.type(`marta@${world.domain}`); // the field has the focus
  await page.keyboard.press('Enter');
  await page.waitForURL(world.login + '**');
  await page.locator('#username').fill(world.people.Marta.upn);
  await page.keyboard.press('Enter');
  await page.waitForURL(world.base + '/');
  for (const path of ['/', '/account', '/signed-out?reason=expired', '/operator', '/password']) {
    await page.goto(world.base + path);
    await accessible(page);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, `${path} scrolls sideways at 320 px`);
  }
  await page.goto(world.base + '/');
  await page.keyboard.press('Tab');
  const skip = await page.evaluate(() => document.activeElement.getAttribute('href'));
  assert.equal(skip, '#main', 'the first stop skips to the content');
  clean(page);
});

scenario('warning and automatic sign-out', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Marta);
  const began = Date.now();
  const dialog = page.getByRole('alertdialog');
  await dialog.waitFor();
  await accessible(page);
  await page.getByRole('alert').filter({ hasText: 'Your session ends in' }).waitFor({ state: 'attached' });
  const focus = await page.evaluate(() => document.activeElement.closest('dialog') !== null);
  assert.ok(focus, 'the warning has the focus');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'hidden' });
  await page.getByRole('status').filter({ hasText: 'Your session ends in' }).waitFor(); // the banner stays

  const other = await page.context().newPage(); // another tab, in the background afterwards
  await other.goto(world.base + '/account');
  await page.bringToFront();

  await page.waitForURL('**/signed-out?*reason=expired*', { timeout: 150_000 });
  const lasted = Date.now() - began;
  assert.ok(lasted < 110_000, `it ended after ${lasted} ms`);
  await heading(page, 'Your session has ended');
  await other.waitForURL('**/signed-out?*reason=expired*');

  // It does not sign in again by itself, though the directory would let it.
  await page.waitForTimeout(2_000);
  assert.equal(new URL(page.url()).pathname, '/signed-out');
  await accessible(page);
  const answer = await page.evaluate(async () => (await fetch('/auth/session')).status);
  assert.equal(answer, 401);
  clean(page);
});

scenario('sign in again from the warning', async (browser, world) => {
  const page = await open(browser);
  await signIn(page, world, world.people.Marta, '/login?next=/account');
  await page.waitForURL(world.base + '/account');
  const before = await cookie(page, '__Host-session');
  await page.getByRole('alertdialog').getByRole('link', { name: 'Sign in again now' }).click();
  await page.getByRole('button', { name: /with Fjord Logistics/ }).click();
  await page.waitForURL(world.base + '/account');
  await heading(page, 'Your account');
  const after = await cookie(page, '__Host-session');
  assert.notEqual(before.value, after.value);
  const who = await page.evaluate(async () => (await fetch('/auth/session')).json());
  assert.ok(Date.parse(who.session.expiresAt) - Date.parse(who.session.created) > 60_000, 'a whole new session');
  clean(page);
});

scenario('on the way to the directory', async (browser, world) => {
  const page = await open(browser);
  await page.route(world.login + '**', (route) => route.fulfill({ status: 204 })); // it stays where it is
  const gone = page.waitForRequest(world.login + '**');
  await page.goto(world.base + '/login');
  await page.getByLabel('Work e-mail address').fill(`marta@${world.domain}`);
  await page.getByRole('button', { name: 'Next' }).click();
  await heading(page, 'One moment');
  await accessible(page);
  const link = page.getByRole('link', { name: 'Continue' });
  const href = await link.getAttribute('href');
  assert.ok(href.startsWith(world.login), href);
  assert.equal((await gone).url(), href, 'the page goes on by itself to where its link leads');
  await page.unroute(world.login + '**');
  await link.click();
  await page.waitForURL(world.login + '**');
  await pick(page, world.people.Marta);
  await heading(page, `Hello, ${world.people.Marta.name}`);
  clean(page);
});

scenario('tabs tell each other', async (browser, world) => {
  const first = await open(browser);
  await signIn(first, world, world.people.Jonas); // listens, for both
  const second = await first.context().newPage();
  await deaf(second);
  await second.goto(world.base + '/account');
  await push(world, world.people.Jonas, false);
  await first.waitForURL('**/signed-out?*reason=deactivated*');
  await second.waitForURL('**/signed-out?*reason=deactivated*&next=%2Faccount');

  // A new sign-in in one tab gives the others its time.
  const old = await open(browser);
  await deaf(old);
  await signIn(old, world, world.people.Ana);
  const until = await old.evaluate(() => document.body.dataset.expires);
  const count = asked(old);
  const anew = await old.context().newPage();
  await deaf(anew);
  const told = old.waitForResponse('**/auth/session');
  await anew.goto(`${world.base}/login/environment/${world.environment}`);
  await heading(anew, `Hello, ${world.people.Ana.name}`);
  const answer = await (await told).json();
  assert.ok(Date.parse(answer.session.expiresAt) > Number(until), 'the session of the new sign-in');
  assert.equal(new URL(old.url()).pathname, '/');
  assert.ok(count.n >= 1);
  clean(first);
  clean(old);
});

scenario('the page asks again when it comes back', async (browser, world) => {
  const page = await open(browser);
  await deaf(page);
  await page.clock.install();
  await signIn(page, world, world.people.Jonas);
  await heading(page, `Hello, ${world.people.Jonas.name}`);
  const count = asked(page);

  // again does something to the page, and waits for it to ask once, or sees that it does not.
  let expected = 0;
  async function again(what, times, act) {
    expected += times;
    const answer = times ? page.waitForResponse('**/auth/session', { timeout: 60_000 }).catch(() => assert.fail(`${what}: the page does not ask`)) : null;
    await act();
    await answer;
    await page.clock.runFor(3_000); // three ticks
    assert.equal(count.n, expected, what);
  }
  const visibility = (state) => page.evaluate((to) => {
    Object.defineProperty(document, 'visibilityState', { value: to, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, state);
  const show = (persisted) => page.evaluate((p) => window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: p })), persisted);
  const set = async (ms) => page.clock.setSystemTime(await page.evaluate((by) => Date.now() + by, ms));

  await again('nothing happens', 0, () => {});
  await again('it is hidden', 0, () => visibility('hidden'));
  await again('it is seen again', 1, () => visibility('visible'));
  await again('it is shown for the first time', 0, () => show(false));
  await again('it comes back from the cache', 1, () => show(true));
  await again('the network goes', 0, () => page.context().setOffline(true));
  await again('the network is back', 1, () => page.context().setOffline(false));
  await again('the clock is set a little', 0, () => set(3_000));
  await again('the machine slept an hour', 1, () => set(3_600_000));
  await again('the clock is set back', 1, () => set(-3_600_000));

  // What was asked counts.
  await push(world, world.people.Jonas, false);
  await page.clock.runFor(3_000);
  assert.deepEqual([count.n, new URL(page.url()).pathname], [expected, '/'], 'nobody has told the page');
  await set(3_600_000);
  await page.clock.runFor(2_000).catch(() => {}); // the page goes
  await page.waitForURL('**/signed-out?*reason=deactivated*');
  clean(page);
});

scenario('the last ten minutes', async (browser, world) => {
  const page = await open(browser);
  await deaf(page);
  await page.clock.install();
  await signIn(page, world, world.people.Marta);
  await heading(page, `Hello, ${world.people.Marta.name}`);
  const count = asked(page);
  const dialog = page.getByRole('alertdialog');
  const banner = page.locator('#session-banner');
  // until lets the page's time go by until so many seconds are left.
  const until = async (seconds) => page.clock.fastForward(await page.evaluate((left) => Number(document.body.dataset.expires) - left * 1000 - Date.now(), seconds));

  await until(11 * 60);
  assert.deepEqual([await banner.isVisible(), await dialog.isVisible()], [false, false], 'eleven minutes before the end');
  await until(9 * 60 + 30);
  await banner.waitFor();
  assert.match(await banner.innerText(), /Your session ends in 9 min/);
  assert.equal(await dialog.isVisible(), false, 'the banner alone');
  await accessible(page);
  await until(80);
  assert.equal(await dialog.isVisible(), false, 'the banner alone, until the last minute');
  await until(30);
  await dialog.waitFor();
  assert.match(await dialog.innerText(), /\b([12]?\d|3[01]) s/);
  assert.equal(count.n, 0, 'nothing was asked so far');
  await page.getByRole('button', { name: 'Stay until the end' }).click();
  await dialog.waitFor({ state: 'hidden' });
  assert.equal(await banner.isVisible(), true, 'the banner stays');

  // The end by the page's clock alone is none: the server has the last word.
  const answer = page.waitForResponse('**/auth/session');
  await until(-5);
  assert.equal((await answer).status(), 200);
  await banner.waitFor({ state: 'hidden' });
  assert.deepEqual([new URL(page.url()).pathname, await dialog.isVisible()], ['/', false]);
  clean(page);
});

scenario('what was typed is not lost unasked', async (browser, world) => {
  const password = 'four unrelated garden words';
  const page = await open(browser);
  const questions = [];
  page.on('dialog', (dialog) => { questions.push(dialog.type()); return dialog.accept(); });
  await page.goto(world.setup);
  await page.getByLabel('E-mail address').fill('olga@maxedy.example');
  await page.getByLabel('Name', { exact: true }).fill('Olga Maxedy');
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByLabel('The same password again').fill(password);
  await page.getByRole('button', { name: 'Make the operator' }).click();
  await heading(page, 'Hello, Olga Maxedy');
  assert.deepEqual(questions, [], 'a form that is sent is not lost');

  const old = page.getByLabel('Current password');
  await page.goto(world.base + '/account');
  await old.click();
  await page.reload();
  assert.deepEqual(questions, [], 'nothing was typed');
  await old.click();
  await page.keyboard.type('not the right words');
  await page.reload();
  assert.deepEqual(questions, ['beforeunload'], 'what was typed would be lost');

  await old.click();
  await page.keyboard.type('not the right words');
  await page.getByLabel('New password', { exact: true }).fill(password);
  await page.getByLabel('The same password again').fill(password);
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByText('This is not your current password').waitFor();
  assert.equal(questions.length, 1, 'a form that is sent is not lost');

  // The end of the session does not ask: whoever comes to the machine next must not find the page.
  await old.click();
  await page.keyboard.type('not the right words');
  const other = await open(browser);
  await other.goto(world.base + '/operator');
  await other.getByLabel('E-mail address').fill('olga@maxedy.example');
  await other.getByLabel('Password', { exact: true }).fill(password);
  await other.getByRole('button', { name: 'Sign in' }).click();
  await heading(other, 'Hello, Olga Maxedy');
  await other.goto(world.base + '/account');
  await other.getByRole('button', { name: 'Sign out everywhere else' }).click();
  await page.waitForURL('**/signed-out?*reason=revoked*');
  assert.equal(questions.length, 1, 'no question at the end');
  clean(page);
  clean(other);
});
