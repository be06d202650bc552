// What people come here for, from beginning to end. The Go side (journeys_test.go) serves base, sessions of an
// operator, a partner and an administrator, and outside: what the directory does meanwhile.
import assert from 'node:assert/strict';
import { accessible, clean, heading, open } from './page.mjs';

const journeys = new Map();
const journey = (name, run) => journeys.set(name, run);

export const find = (name) => journeys.get(name);

// as opens a browser of somebody who is signed in.
async function as(browser, world, session, options) {
  const page = await open(browser, options);
  await page.context().addCookies([{ name: '__Host-session', value: session, url: world.base, secure: true, httpOnly: true, sameSite: 'Lax' }]);
  return page;
}

// outside lets something happen in the directory.
async function outside(world, what, detail) {
  const answer = await fetch(world.outside + what, { method: 'POST', body: JSON.stringify(detail) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return answer.json();
}

journey('an operator sets up a tenant and an environment', async (browser, world) => {
  const page = await as(browser, world, world.operator);
  await page.goto(world.base + '/organizations/new');
  await page.getByLabel('Name').fill('Havn Shipping');
  await page.getByRole('button', { name: 'Create organization' }).click();
  await page.goto(world.base + '/environments/new');
  await page.getByLabel('Organization').selectOption({ label: 'Havn Shipping' });
  await page.getByRole('textbox', { name: 'Name' }).fill('Terminal');
  await page.getByRole('button', { name: 'Create environment' }).click();
  await heading(page, /Terminal/);

  await page.goto(world.base + '/tenants/new');
  await accessible(page);
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Not A Name');
  await page.getByLabel('Havn Shipping').check();
  await page.getByRole('button', { name: 'Create tenant' }).click();
  await page.locator('[aria-invalid="true"]').waitFor(); // what is wrong stands beside the field, and what was typed stays
  assert.ok(await page.getByLabel('Havn Shipping').isChecked());
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('havn');
  await page.getByLabel('Directory (tenant) ID').fill('7d0e7c0a-54c7-4a8e-9d0e-6a0f5d1c2b3a');
  await page.getByRole('button', { name: 'Create tenant' }).click();
  await heading(page, /havn/i);

  // What reads the directory: before it is entered the test names it, afterwards all is well.
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.getByText('Nothing is set up yet.').waitFor();
  await page.getByRole('link', { name: 'Credentials' }).first().click();
  const graph = page.locator('section', { has: page.getByRole('heading', { name: 'Application that synchronizes' }) });
  await graph.getByText('Enter a credential').click();
  await graph.getByLabel('Application (client) ID').fill('11111111-2222-4333-8444-555555555555');
  await graph.getByLabel('Secret value').fill('fjW8Q~a.secret.that.nobody.sees.again');
  await graph.getByRole('button', { name: 'Save' }).click();
  await graph.getByText('Replace').waitFor();
  assert.ok(!(await page.content()).includes('nobody.sees.again'));
  await accessible(page);
  await page.getByRole('link', { name: 'Overview' }).first().click();
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.getByText('Whatever is set up works.').waitFor();

  await page.goto(world.base + '/environments');
  await page.getByRole('link', { name: 'Terminal' }).click();
  await page.getByRole('link', { name: 'External users integration' }).first().click();
  await page.getByLabel('Give people of a directory access to this environment').check();
  await page.getByLabel('Tenant', { exact: true }).selectOption({ label: 'havn' });
  await page.getByLabel('Object ids').fill('not-an-id');
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.locator('#groups-error', { hasText: 'not-an-id' }).waitFor(); // a mistyped id is named
  await page.getByLabel('Object ids').fill(world.group);
  await page.getByRole('button', { name: 'Save', exact: true }).click();
  await page.getByRole('status').first().waitFor();
  assert.equal(await page.getByLabel('Object ids').inputValue(), world.group);
  await accessible(page);

  // It works: a preview finds the people.
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.waitForURL('**/runs/*');
  await page.getByText('Marta Berg').first().waitFor();
  clean(page);
});

journey('an Entra administrator connects by the setup link', async (browser, world) => {
  const partner = await as(browser, world, world.partner);
  await partner.goto(`${world.base}/tenants/${world.tenant}/guide`);
  await partner.getByRole('button', { name: 'Create setup link' }).click();
  const link = (await partner.locator('#setup-link').textContent()).trim();
  assert.ok(link.startsWith(world.base + '/connect/'), link);

  const page = await open(browser); // who has no account here
  await page.goto(link);
  await heading(page, 'Connect your directory');
  await accessible(page);
  assert.equal(await page.getByRole('link', { name: 'Environments' }).count(), 0, 'the link shows nothing but the guide');
  const rotate = page.getByText('Rotate it').first();
  await rotate.click();
  await page.getByRole('button', { name: /rotate/i }).first().click();
  const token = (await page.locator('#secret-token').textContent()).trim();
  const base = (await page.locator('#tenant-url').textContent()).trim();
  await page.getByText('Waiting for Test Connection').first().waitFor();

  const pushed = await outside(world, '/push', { base, token });
  assert.equal(pushed.failed, 0);
  await page.getByText('Connected', { exact: true }).waitFor(); // by itself
  clean(page);

  // A link that was revoked shows nothing of the tenant.
  await partner.reload();
  await partner.goto(`${world.base}/tenants/${world.tenant}/guide`);
  await partner.locator('summary', { hasText: 'Revoke link' }).click();
  await partner.getByRole('button', { name: 'Revoke link' }).click();
  await page.goto(link);
  await heading(page, 'This link does not work');
  assert.equal(await page.getByText('Fjord').count(), 0);
  clean(partner);
});

journey('an administrator previews, syncs, meets quarantine, allows once', async (browser, world) => {
  const page = await as(browser, world, world.administrator);
  const ended = () => page.getByRole('heading', { level: 2, name: 'About this run' }).waitFor();
  const over = async () => {
    await page.waitForURL('**/runs/*');
    await page.locator('.verdict').first().waitFor();
    await ended();
  };
  const allow = async (reason) => {
    await page.locator('summary', { hasText: 'Allow once' }).click();
    await page.getByLabel('Why is this right?').fill(reason);
    await page.getByRole('button', { name: 'Allow this plan once' }).click();
    await over();
  };
  await outside(world, '/staff', { people: 177 });
  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByRole('button', { name: 'Preview' }).click();
  await over();
  await page.getByText('Create').first().waitFor();
  await accessible(page);

  // Nothing was changed by it.
  await page.goto(`${world.base}/users?environment=${world.production}`);
  await page.getByRole('link', { name: 'Marta Berg' }).waitFor();
  assert.equal(await page.locator('tbody tr').count(), 3);

  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByRole('button', { name: 'Sync', exact: true }).click();
  await over();
  if (await page.locator('summary', { hasText: 'Allow once' }).count()) await allow('They start today'); // the first plan is looked at
  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByText('180').first().waitFor();

  // Somebody takes 42 people out of the group.
  await outside(world, '/staff', { people: 135 });
  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByRole('button', { name: 'Sync', exact: true }).click();
  await over();
  await page.getByRole('heading', { name: /42 of 180 would be deactivated/ }).waitFor();
  await accessible(page);
  await page.goto(`${world.base}/environments`);
  await page.getByText('waits', { exact: false }).first().waitFor();
  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByText('180').first().waitFor(); // nobody has lost anything

  await page.locator('a[href^="/runs/"]').first().click();
  await allow('The warehouse moved to another company');
  await page.goto(`${world.base}/environments/${world.production}`);
  await page.getByText('138').first().waitFor();
  clean(page);
});

journey('help desk finds out why a person has no access', async (browser, world) => {
  await outside(world, '/leave', { upn: 'ana@fjord.example' });
  const page = await as(browser, world, world.administrator);
  await page.goto(world.base + '/environments');
  await page.getByRole('link', { name: 'Users', exact: true }).first().click(); // one
  await page.getByLabel('Name, user name or e-mail address').fill('ana');
  await page.getByRole('button', { name: 'Find' }).click(); // two
  await page.getByRole('link', { name: 'Ana Berg' }).click(); // three
  await heading(page, 'Ana Berg');
  await page.getByText('Provisioning removed the person from the Groups to Sync.').waitFor();
  await accessible(page);
  clean(page);
});

journey('a period is in the time of the viewer', async (browser, world) => {
  const page = await as(browser, world, world.operator, { timezoneId: 'America/New_York' });
  await page.goto(world.base + '/log?status=success');
  const moments = () => Object.fromEntries(['from', 'to'].map((name) => [name, new URL(page.url()).searchParams.get(name)]));
  const [from, to] = [page.getByLabel('From (your time)'), page.getByLabel('Until (your time)')];
  const show = async (first, last) => {
    await from.fill(first);
    await to.fill(last);
    await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: 'Show', exact: true }).click()]);
    return [await from.inputValue(), await to.inputValue()];
  };
  assert.deepEqual(await show('2026-03-08', '2026-03-08'), ['2026-03-08', '2026-03-08']); // a day of 23 hours
  const day = moments();
  assert.deepEqual(day, { from: '2026-03-08T05:00:00.000Z', to: '2026-03-09T03:59:59.999Z' });
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: 'Show', exact: true }).click()]);
  assert.deepEqual(moments(), day); // what nobody touched stays
  assert.deepEqual(await show('2026-01-31 17:30', '2026-01-31 17:45:10'), ['2026-01-31 17:30', '2026-01-31 17:45']);
  assert.deepEqual(moments(), { from: '2026-01-31T22:30:00.000Z', to: '2026-01-31T22:45:10.999Z' });
  assert.deepEqual(await show('2026-01-31T00:30', '2026-01-31 17:30'), ['2026-01-31 00:30', '2026-01-31 17:30']);
  assert.deepEqual(moments(), { from: '2026-01-31T05:30:00.000Z', to: '2026-01-31T22:30:59.999Z' });
  assert.deepEqual(await show('', '2026-02-30'), ['', '2026-02-30']); // the server says what is wrong
  await page.locator('[aria-invalid="true"]').waitFor();
  await accessible(page);
  clean(page);

  const plain = await as(browser, world, world.operator, { javaScriptEnabled: false });
  await plain.goto(world.base + '/audit?to=2026-01-31');
  assert.equal(await plain.getByLabel('Until (UTC)').inputValue(), '2026-01-31');
});

journey('the longest names stay within the page', async (browser, world) => {
  const page = await as(browser, world, world.operator, { viewport: { width: 360, height: 780 } });
  const word = 'Rindfleischetikettierungs' + 'überwachungsaufgabenübertragungsgesetz'.repeat(5), name = word.slice(0, 200);
  await page.goto(world.base + '/organizations/new');
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Create organization' }).click();
  await page.getByRole('textbox', { name: 'Name' }).fill(word.slice(0, 199) + ' شركة الملاحة');
  await page.getByRole('button', { name: 'Create environment' }).click();
  await page.getByText('The environment is created').waitFor();
  const id = page.url().match(/environments\/([0-9a-f-]{36})/)[1], environment = `/environments/${id}`, tenant = `/tenants/${world.tenant}`;
  const paths = [environment, environment + '/integration', environment + '/administrators', '/environments', '/environments/new', '/tenants', '/tenants/new', tenant, tenant + '/guide', tenant + '/tokens',
    tenant + '/clients', tenant + '/applications', tenant + '/settings', '/users', '/groups', '/runs', '/log', '/report', '/webhooks', '/webhooks/new', '/api-tokens', '/api-tokens/new', '/audit', '/settings', '/settings/people',
    `/settings/people/${world.partnerAccount}`, '/search?q=' + encodeURIComponent(word.slice(0, 20)), '/'];

  // Everything else that has a name gets one of that length.
  await page.goto(world.base + '/users/add');
  await page.locator('#environment').selectOption(id);
  await page.locator('#email').fill('rind@' + 'fleisch.'.repeat(20) + 'example');
  await page.locator('#name').fill(name);
  await page.getByRole('button', { name: 'Add a user' }).click();
  const user = await page.locator('main .flash a').getAttribute('href');
  await page.goto(world.base + '/webhooks/new');
  await page.locator('#name').fill(name);
  await page.locator('#format-set-poll').check();
  await page.getByRole('button', { name: 'Create webhook' }).click();
  await page.waitForURL('**/webhooks/*done=*');
  const webhook = new URL(page.url()).pathname;
  await page.goto(world.base + '/api-tokens/new');
  await page.locator('#name').fill(name);
  await page.locator('#role-operator').check();
  await page.getByLabel('Read: Users, accesses and groups').check();
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.locator('#secret').waitFor();
  await page.goto(world.base + tenant + '/clients');
  await page.getByLabel('Client ID').fill('rindfleisch-'.repeat(10) + 'etikett');
  await page.getByRole('button', { name: 'Create client' }).click();
  await page.locator('#client-secret').waitFor();
  await page.goto(world.base + tenant + '/tokens');
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Create Secret Token' }).click();
  const token = await page.locator('#secret-token').textContent();
  const group = await page.evaluate(async ({ token, name }) => {
    const answer = await fetch('/scim/fjord/v2/Groups', { method: 'POST', headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/scim+json' },
      body: JSON.stringify({ schemas: ['urn:ietf:params:scim:schemas:core:2.0:Group'], displayName: name, externalId: 'c0ffee00-0000-4000-8000-00000000abcd' }) });
    return (await answer.json()).id;
  }, { token, name });
  paths.push(user, `${user}/access/${id}`, webhook, webhook + '/edit', `/groups/${world.tenant}/${group}`);

  const wide = [];
  for (const locale of ['en-GB', 'nl-NL']) {
    const reader = await as(browser, world, world.operator, { locale });
    for (const width of [360, 1280]) {
      await reader.setViewportSize({ width, height: 780 });
      for (const path of paths) {
        const answer = await reader.goto(world.base + path);
        assert.equal(answer.status(), 200, path);
        if (await reader.evaluate(() => document.documentElement.scrollWidth) > width) wide.push(`${path} at ${width} in ${locale}`);
      }
    }
    clean(reader);
  }
  assert.deepEqual(wide, []);
  clean(page);
});

journey('a form is sent once, and a text that cannot be copied is selected', async (browser, world) => {
  const page = await as(browser, world, world.partner);
  await page.goto(`${world.base}/tenants/${world.tenant}/tokens`);
  let posts = 0;
  await page.route('**/tokens', async (route) => {
    if (route.request().method() === 'POST') posts++;
    await new Promise((done) => setTimeout(done, 300)); // the answer comes after the second click
    await route.continue();
  });
  await page.getByRole('button', { name: 'Create Secret Token' }).dblclick();
  const secret = page.locator('#secret-token');
  await secret.waitFor();
  assert.equal(posts, 1);

  const copy = page.locator('[data-copy-text="secret-token"]');
  await page.evaluate(() => {
    navigator.clipboard.writeText = () => Promise.reject(new DOMException('refused', 'NotAllowedError'));
    document.execCommand = () => false;
  });
  await copy.click();
  await page.getByText('Selected: copy it now').first().waitFor();
  assert.equal(await page.evaluate(() => String(getSelection())), await secret.textContent());
  await page.evaluate(() => { document.execCommand = () => true; });
  await copy.click();
  await page.getByText('Copied', { exact: true }).first().waitFor();
  clean(page);
});

journey('a page that is not kept up to date says so', async (browser, world) => {
  const page = await as(browser, world, world.operator);
  await page.clock.install();
  let broken = true;
  await page.route('**/log/live*', (route) => broken ? route.fulfill({ status: 503, body: 'not now' }) : route.continue());
  await page.goto(world.base + '/log?live=on');
  const lost = page.getByText('The connection is lost');
  assert.equal(await lost.count(), 0); // a short break is not worth telling
  await page.clock.runFor(6_000);
  await lost.waitFor();
  await accessible(page);
  broken = false;
  await page.clock.runFor(60_000);
  await lost.waitFor({ state: 'detached' });
  clean(page);
});

journey('what is wrong is in sight', async (browser, world) => {
  const partner = await as(browser, world, world.partner, { viewport: { width: 360, height: 780 }, javaScriptEnabled: false });
  await partner.goto(`${world.base}/tenants/${world.tenant}/guide`);
  const enter = partner.locator('#step-graph details.more');
  await enter.locator('summary').click();
  await enter.getByLabel('Secret value').fill('too short');
  await enter.getByRole('button', { name: 'Save' }).click();
  await partner.locator('#graph-secret[aria-invalid="true"]').waitFor();
  const seen = (page, selector) => page.waitForFunction((selector) => {
    const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
    return top >= 0 && bottom <= innerHeight;
  }, selector);
  await seen(partner, '#graph-secret-error');
  await partner.getByRole('button', { name: 'Test connection' }).click();
  await seen(partner, '.guide .flash');

  const admin = await as(browser, world, world.administrator, { viewport: { width: 360, height: 780 } });
  await admin.goto(`${world.base}/environments/${world.production}/integration`);
  await admin.getByText('More: nested groups').click();
  await admin.getByLabel('Percent in one sync').fill('900');
  await admin.getByRole('button', { name: 'Save', exact: true }).click();
  await seen(admin, '#run-percent[aria-invalid="true"]');
  await accessible(admin);
  clean(admin);
});

journey('what changes by itself leaves people where they are', async (browser, world) => {
  const page = await as(browser, world, world.operator);
  await page.addInitScript(() => document.addEventListener('DOMContentLoaded', () => {
    window.written = 0;
    new MutationObserver(() => { window.written++; }).observe(document.querySelector('[data-live]'), { childList: true });
  }));
  await page.goto(world.base + '/log?live=on');
  const lines = page.locator('[data-live] tbody tr');
  const before = await lines.count(), link = page.locator('[data-live] tbody a').nth(1);
  const href = await link.getAttribute('href');
  await link.focus();
  await outside(world, '/leave', { upn: 'ana@fjord.example' });
  await page.waitForFunction((n) => document.querySelectorAll('[data-live] tbody tr').length > n, before);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute('href')), href, 'the focus stays at the line');
  assert.notEqual(await page.locator('[data-live] tbody a').nth(1).getAttribute('href'), href); // which is another row by now
  assert.equal(await page.evaluate(() => window.written), 1, 'what the page says already is not written again');
  clean(page);

  // Fields, a list that is open, and what is gone: the answers of the server are made up.
  const form = (action) => `<form method="post" action="${action}"><input name="text" aria-label="Text"><select name="choice" aria-label="Choice"><option value="1">1</option><option value="2">2</option></select></form>`;
  const answers = [
    form('/keep') + '<details><summary>More</summary><p>of it</p></details>',
    '<p>two</p>' + form('/other') + form('/keep') + '<details><summary>More</summary><p>of it</p></details>',
    '<p>three</p>' + form('/other'),
  ];
  const at = { now: 0 };
  const own = await as(browser, world, world.administrator);
  await own.route('**/log/live*', (route) => route.fulfill({ contentType: 'text/event-stream', body: `retry: 100\nevent: html\ndata: ${answers[at.now]}\n\n` }));
  await own.goto(world.base + '/log?live=on');
  const kept = own.locator('form[action="/keep"]');
  await kept.getByLabel('Choice').selectOption('2');
  await kept.getByLabel('Text').fill('what I type');
  await own.getByText('More', { exact: true }).click();
  await kept.getByLabel('Text').evaluate((field) => { field.focus(); field.setSelectionRange(5, 6, 'backward'); });
  at.now = 1;
  await own.getByText('two', { exact: true }).waitFor();
  const is = () => own.evaluate(() => {
    const { form, value, selectionStart, selectionEnd, selectionDirection } = document.activeElement;
    return [form.getAttribute('action'), value, selectionStart, selectionEnd, selectionDirection, form.elements.choice.value, document.querySelector('[data-live] details').open];
  });
  assert.deepEqual(await is(), ['/keep', 'what I type', 5, 6, 'backward', '2', true]);
  assert.equal(await own.locator('form[action="/other"] input').inputValue(), '');
  at.now = 2;
  await own.getByText('three', { exact: true }).waitFor();
  assert.ok(await own.evaluate(() => document.activeElement.matches('[data-live]')), 'who was at what is gone stays in its place');
});

journey('what was made is not made again', async (browser, world) => {
  const page = await as(browser, world, world.partner);
  const fill = async (page, name) => {
    await page.goto(world.base + '/api-tokens/new');
    await page.getByLabel('Name').fill(name);
    await page.getByLabel('Fjord Logistics').check();
    await page.getByLabel('Read: Users, accesses and groups').check();
  };
  await fill(page, 'Reloaded');
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.locator('#secret').waitFor();
  await page.reload();
  await heading(page, 'This was made already');
  await accessible(page);
  await page.getByRole('link', { name: 'Show what there is' }).click();
  await heading(page, 'API tokens');
  assert.equal(await page.getByRole('link', { name: 'Reloaded' }).count(), 1);
  clean(page);

  // A browser without scripts sends the form at each click, and leaves the first answer for the second.
  const plain = await as(browser, world, world.partner, { javaScriptEnabled: false });
  await fill(plain, 'Clicked twice');
  const answers = [];
  await plain.route('**/api-tokens', async (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    const answer = await route.fetch({ headers: { ...await route.request().allHeaders(), origin: world.base } });
    answers.push(answer.status());
    if (answers.length > 1) return route.fulfill({ response: answer }); // the first one does not come in time
  });
  const create = plain.getByRole('button', { name: 'Create token' });
  await create.scrollIntoViewIfNeeded();
  const { x, y } = await create.boundingBox();
  await plain.mouse.click(x + 5, y + 5);
  while (answers.length === 0) await new Promise((done) => setTimeout(done, 20));
  await plain.mouse.click(x + 5, y + 5);
  await heading(plain, 'This was made already');
  assert.deepEqual(answers, [201, 409]);
  await plain.goto(world.base + '/api-tokens');
  assert.equal(await plain.getByRole('link', { name: 'Clicked twice' }).count(), 1);
});

journey('a setup link that has ended says so', async (browser, world) => {
  const partner = await as(browser, world, world.partner);
  await partner.goto(`${world.base}/tenants/${world.tenant}/guide`);
  await partner.getByRole('button', { name: 'Create setup link' }).click();
  const link = (await partner.locator('#setup-link').textContent()).trim();
  const [page, copying] = [await open(browser), await open(browser)];
  await page.goto(link);
  await page.getByText('Waiting for Test Connection').first().waitFor();
  await copying.goto(link);
  await copying.getByText('Rotate it').first().click();
  await copying.getByRole('button', { name: /rotate/i }).first().click();
  const secret = await copying.locator('#secret-token').textContent();
  await partner.goto(`${world.base}/tenants/${world.tenant}/guide`);
  await partner.locator('summary', { hasText: 'Revoke link' }).click();
  await partner.getByRole('button', { name: 'Revoke link' }).click();
  await heading(page, 'This link does not work'); // by itself
  await copying.getByText('This link has ended').first().waitFor(); // what is shown once stays to be copied
  assert.equal(await copying.locator('#secret-token').textContent(), secret);
  assert.equal(await copying.getByText('This link ends in').count(), 0);
  await accessible(copying);
  for (const each of [page, copying, partner]) clean(each);
});

journey('a clock that is wrong misleads nobody', async (browser, world) => {
  for (const wrong of [3_600_000, -3_600_000]) {
    const page = await as(browser, world, world.operator);
    await page.addInitScript((wrong) => {
      const right = Date.now;
      Date.now = () => right() + wrong;
    }, wrong);
    await page.goto(world.base + '/settings');
    const started = page.locator('time[data-local="ago"]').first();
    await page.waitForFunction(() => document.querySelector('time[data-local="ago"]').textContent !== document.querySelector('time[data-local="ago"]').title);
    assert.match(await started.textContent(), /^(this minute|[12]?\d minutes? ago)$/);
    await page.goto(`${world.base}/tenants/${world.tenant}/guide`);
    await page.getByLabel('It works for').selectOption('1');
    await page.getByRole('button', { name: /Create setup link|Make a new link/ }).click();
    const link = (await page.locator('#setup-link').textContent()).trim();
    await page.goto(link); // whoever has no session is not told a time by it
    assert.match(await page.locator('time[data-local="countdown"]').textContent(), /^(1:00:00|59:\d\d)$/);
    clean(page);
  }
});

journey('what was typed when the session ended is there again', async (browser, world) => {
  const page = await as(browser, world, world.partner);
  const back = (session) => page.context().addCookies([{ name: '__Host-session', value: session, url: world.base, secure: true, httpOnly: true, sameSite: 'Lax' }]);
  const fill = async () => {
    await page.getByLabel('Name').fill('Portal of the customer');
    await page.getByLabel('Fjord Logistics').check();
    await page.getByLabel('Read: Users, accesses and groups').check();
    await page.getByLabel('Ends after how many days').fill('17');
  };
  const offer = page.getByText('What you had typed here was not saved');
  const form = async () => [await page.getByLabel('Name').inputValue(), await page.getByLabel('Fjord Logistics').isChecked(), await page.getByLabel('Read: Users, accesses and groups').isChecked(),
    await page.getByLabel('Read: Runs, Sync and Preview').isChecked(), await page.getByLabel('Ends after how many days').inputValue()];
  const typed = ['Portal of the customer', true, true, false, '17'];

  // It ends while the page is open.
  await page.goto(world.base + '/api-tokens/new');
  assert.equal(await offer.isVisible(), false);
  await fill();
  await outside(world, '/out', { who: 'partner' });
  await page.waitForURL('**/signed-out?*');
  assert.equal(new URL(page.url()).searchParams.get('next'), '/api-tokens/new');
  await back((await outside(world, '/in', { who: 'other' })).session); // somebody else is offered nothing
  await page.goto(world.base + '/api-tokens/new');
  await heading(page, 'New API token');
  assert.equal(await offer.isVisible(), false);
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);

  // What is more than the browser keeps does not hold the page.
  await back((await outside(world, '/in', { who: 'partner' })).session);
  await page.goto(world.base + '/api-tokens/new');
  await page.getByLabel('Name').evaluate((field) => {
    field.value = 'x'.repeat(6e6);
    field.dispatchEvent(new Event('input', { bubbles: true }));
  });
  await outside(world, '/out', { who: 'partner' });
  await page.waitForURL('**/signed-out?*');

  // It is sent when the session has ended.
  await back((await outside(world, '/in', { who: 'partner' })).session);
  await page.route('**/auth/events', () => {}); // the page does not hear of the end
  await page.route('**/auth/session', (route) => route.abort());
  await page.goto(world.base + '/api-tokens/new');
  await fill();
  await outside(world, '/out', { who: 'partner' });
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.getByText('What you sent just now was not saved').waitFor();
  await back((await outside(world, '/in', { who: 'partner' })).session);
  await page.goto(world.base + '/api-tokens/new');
  await offer.waitFor();
  await accessible(page);
  await page.getByRole('button', { name: 'Fill it in again' }).click();
  assert.deepEqual(await form(), typed);
  await page.getByRole('button', { name: 'Create token' }).click();
  await page.locator('#secret').waitFor();
  await page.goto(world.base + '/api-tokens/new');
  assert.equal(await offer.isVisible(), false, 'what was done is not offered again');

  // Of two forms that go to one address, it is offered at the one that it was typed into.
  const clients = `${world.base}/tenants/${world.tenant}/clients`;
  for (const name of ['one-client', 'two-client']) {
    await page.goto(clients);
    await page.locator('input[name="clientId"]').fill(name);
    await page.locator('form:has(input[name="clientId"]) button').click();
    await page.locator('#client-secret').waitFor();
  }
  for (const [name, other] of [['one-client', 'two-client'], ['two-client', 'one-client']]) {
    await page.goto(clients);
    const row = page.locator('tr', { hasText: name });
    await row.locator('summary', { hasText: 'Rotate' }).click();
    await page.locator(`#overlap-${name}`).selectOption('0');
    await outside(world, '/out', { who: 'partner' });
    await row.getByRole('button', { name: 'Rotate' }).click();
    await page.getByText('What you sent just now was not saved').waitFor();
    await back((await outside(world, '/in', { who: 'partner' })).session);
    await page.goto(clients);
    await row.getByRole('button', { name: 'Fill it in again' }).click();
    assert.deepEqual([await page.locator(`#overlap-${name}`).inputValue(), await page.locator(`#overlap-${other}`).inputValue()], ['0', '24']);
  }

  // A secret is not kept.
  await page.goto(`${world.base}/tenants/${world.tenant}/credentials`);
  await page.getByText('Replace').first().click();
  await page.getByLabel('Secret value').first().fill('fjW8Q~a.secret.that.nobody.sees.again');
  await outside(world, '/out', { who: 'partner' });
  await page.getByRole('button', { name: 'Save' }).first().click();
  await page.getByText('What you sent just now was not saved').waitFor();
  assert.ok(!(await page.evaluate(() => JSON.stringify(sessionStorage))).includes('nobody.sees'));
  clean(page);
});

// hands use the keyboard alone. Wherever the focus goes, it is seen; and it never stays where it is.
function hands(page) {
  const at = () => page.evaluate(() => {
    const e = document.activeElement;
    if (!e || e === document.body || e === document.documentElement) return { what: 'the page', seen: true };
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const x = (Math.max(0, box.left) + Math.min(innerWidth, box.right)) / 2, y = (Math.max(0, box.top) + Math.min(innerHeight, box.bottom)) / 2;
    const top = document.elementFromPoint(x, y), stays = window.lastStop === e;
    window.lastStop = e;
    return {
      stays,
      what: `${e.tagName} ${e.id} ${e.getAttribute('href') ?? ''} ${(e.getAttribute('aria-label') ?? e.textContent).trim().slice(0, 40)}`,
      seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
      uncovered: Boolean(top && (e.contains(top) || top.contains(e))),
    };
  });
  const key = async (name) => page.keyboard.press(name);
  const has = (locator) => locator.evaluate((e) => e === document.activeElement).catch(() => false);
  return {
    key,
    type: (text) => page.keyboard.type(text),
    has,
    // to goes on until something has the focus.
    async to(locator) {
      for (let stops = 0; stops < 120; stops++) {
        if (await locator.count() && await has(locator.first())) return;
        await key('Tab');
        const now = await at();
        assert.ok(now.seen, `nobody sees that the focus is at ${now.what} of ${page.url()}`);
        assert.ok(now.uncovered !== false, `something covers ${now.what} of ${page.url()}`);
        assert.ok(!now.stays, `the focus stays at ${now.what} of ${page.url()}`);
      }
      assert.fail(`the keyboard does not get to ${locator} of ${page.url()}`);
    },
    async press(locator) {
      await this.to(locator);
      await key('Enter');
    },
    // enter sends what is typed, and waits for the page that comes of it.
    async enter() {
      await Promise.all([page.waitForEvent('framenavigated'), key('Enter')]);
      await page.waitForLoadState();
    },
    async go(locator) {
      await this.to(locator);
      await this.enter();
    },
  };
}

journey('by the keyboard alone', async (browser, world) => {
  const page = await open(browser, { permissions: ['clipboard-read', 'clipboard-write'] });
  const by = hands(page);
  const button = (name) => page.getByRole('button', { name, exact: true });
  const link = (name) => page.getByRole('link', { name, exact: true });
  const password = 'four unrelated garden words';

  // A password by the link of a mail, then to sign in.
  await page.goto(world.password);
  await by.to(page.getByLabel('New password', { exact: true }));
  await by.type(password);
  await by.key('Tab');
  await by.type(password);
  await by.enter();
  await page.waitForURL('**/operator**');
  await by.to(page.getByLabel('E-mail address'));
  await by.type('boss@maxedy.example');
  await by.key('Tab');
  await by.type('not the right words');
  await by.enter();
  await page.getByRole('alert').waitFor();
  await by.to(page.getByLabel('Password', { exact: true }));
  await by.type(password);
  await by.enter();
  await heading(page, /Hello/);

  // The first stop leads past what every page begins with.
  await by.key('Tab');
  assert.ok(await by.has(page.locator('.skip')));
  await by.key('Enter');
  assert.ok(await by.has(page.locator('#main')));

  // A tenant: what is wrong has the focus.
  await page.goto(world.base + '/');
  await by.go(page.locator('.side').getByRole('link', { name: 'Tenants' }));
  await heading(page, 'Tenants');
  await by.go(link('New tenant').first());
  const name = page.locator('#name');
  await by.to(name);
  await by.type('Not A Name');
  await by.enter();
  await page.locator('#name[aria-invalid="true"]').waitFor();
  assert.ok(await by.has(name), 'the field that is wrong has the focus');
  await by.key('Control+A');
  await by.type('havn');
  await by.to(page.getByLabel('Fjord Logistics'));
  await by.key('Space');
  await by.go(button('Create tenant'));
  await heading(page, /havn/);

  // Its token, onto the clipboard.
  await by.go(button('Create Secret Token'));
  await page.locator('#secret-token').waitFor();
  assert.ok(await by.has(page.locator('.once').first()), 'what is shown once has the focus');
  await by.key('Tab');
  assert.ok(await by.has(page.locator('[data-copy-text="secret-token"]')));
  await by.key('Enter');
  await page.getByText('Copied', { exact: true }).first().waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await page.locator('#secret-token').textContent());

  // An environment, with a group that is looked for by its name.
  await by.go(page.locator('.side').getByRole('link', { name: 'Environments' }));
  await by.go(link('New environment'));
  await by.to(page.getByLabel('Organization'));
  await by.type('Fjord');
  await by.to(name);
  await by.type('Terminal');
  await by.enter();
  await page.getByText('The environment is created').waitFor();
  await by.to(page.getByLabel('Give people of a directory access'));
  await by.key('Space');
  await by.to(page.getByLabel('Tenant', { exact: true }));
  await by.type('fjord');
  await by.go(button('Save'));
  await page.locator('#groups-error').waitFor();
  assert.ok(await by.has(page.locator('#groups')), 'the groups that are missing have the focus');
  await by.to(page.locator('#group-name'));
  await by.type('Sal');
  await by.enter();
  const add = page.getByRole('button', { name: 'Add Sales' }).first();
  await add.waitFor();
  assert.ok(await by.has(page.locator('#group-name')), 'the search goes on where it was');
  await by.go(add);
  await page.getByRole('button', { name: 'Take Sales out' }).waitFor();
  assert.ok(await by.has(page.locator('#groups')), 'the groups have the focus once one is added');
  assert.equal((await page.locator('#groups').inputValue()).trim(), world.group);
  await by.go(button('Save'));
  await page.getByText('The settings are saved').waitFor();

  // A sync that stops, and is allowed.
  const over = async () => {
    await page.waitForURL('**/runs/*');
    await page.locator('.verdict').first().waitFor();
    await page.waitForLoadState(); // a page whose run ends loads itself anew
  };
  const ask = page.locator('summary', { hasText: 'Allow once' });
  const allow = async (reason) => {
    await by.press(ask);
    await by.key('Tab');
    assert.ok(await by.has(page.getByLabel('Why is this right?')), 'what was opened comes next');
    await by.key('Escape');
    await page.locator('details.confirm[open]').waitFor({ state: 'detached' });
    assert.ok(await by.has(ask), 'the focus is back where it came from');
    await by.key('Enter');
    await by.key('Tab');
    await by.type(reason);
    await by.go(page.getByRole('button', { name: 'Allow this plan once' }));
    await over();
  };
  const terminal = new URL(page.url()).pathname.replace('/integration', '');
  for (const people of [177, 135]) {
    await outside(world, '/staff', { people });
    await page.goto(world.base + terminal);
    await by.go(button('Sync'));
    await over();
    if (people === 135) await page.getByRole('heading', { name: /42 of 180 would be deactivated/ }).waitFor();
    if (await ask.count()) await allow('The warehouse moved to another company');
  }
  await page.goto(world.base + terminal);
  await page.getByText('138').first().waitFor();

  // A person, and the end of their session.
  await by.key('/');
  assert.ok(await by.has(page.locator('#find')));
  await by.type('ana');
  await by.enter();
  await page.waitForURL('**/search**');
  await by.go(page.locator('main').getByRole('link', { name: /Ana Berg/ }).first());
  await heading(page, 'Ana Berg');
  await by.go(page.locator('section:has(#sessions)').getByRole('button', { name: 'Sign out', exact: true }));
  await page.getByText('Signed out there.').waitFor();
  const person = await as(browser, world, world.person);
  assert.equal((await person.goto(world.base + '/auth/session')).status(), 401);
  clean(page);
});

journey('a list of more than a thousand rows', async (browser, world) => {
  const page = await as(browser, world, world.operator, { viewport: { width: 1280, height: 800 } });
  const rows = page.locator('tbody tr');
  const lists = ['/users?text=person&state=inactive', '/groups?text=department', '/log?action=create', '/audit'];
  for (const list of lists) {
    await page.goto(world.base + list);
    assert.ok(await rows.count() > 10, list);
    // The names of the columns stay in sight, above the rows.
    await page.locator('.scroll.fits[tabindex="-1"]').first().waitFor();
    const place = await page.evaluate(() => {
      scrollTo(0, document.documentElement.scrollHeight / 2);
      const head = document.querySelector('thead th').getBoundingClientRect();
      return { top: head.top, over: document.elementFromPoint(head.left + 12, head.top + 8)?.closest('thead') !== null };
    });
    assert.deepEqual(place, { top: 0, over: true }, `the head of ${list}`);
  }

  // On, and back to where one was: the page, the filter, and the row.
  await page.goto(`${world.base}/users?text=person&state=inactive`);
  const first = await rows.first().innerText();
  await page.getByRole('link', { name: 'Next page' }).click();
  await page.waitForURL('**/users?**after=**');
  assert.notEqual(await rows.first().innerText(), first);
  assert.equal(await page.getByLabel('Name, user name or e-mail address').inputValue(), 'person');
  const [second, row] = [page.url(), rows.nth(30).getByRole('link')];
  const who = await row.innerText();
  await row.click();
  await heading(page, who);
  await page.goBack();
  assert.equal(page.url(), second);
  await row.waitFor();
  assert.ok(await page.evaluate(() => scrollY) > 200, 'where one was on the page');
  await page.getByRole('link', { name: 'First page' }).click();
  await page.waitForURL((url) => !url.search.includes('after'));
  assert.equal(await rows.first().innerText(), first);
  await accessible(page);

  await page.setViewportSize({ width: 360, height: 780 });
  for (const list of [...lists, '/users?text=nobody-at-all', '/groups?text=nothing', '/log?identity=nothing&status=warning', '/audit?actor=nobody', '/log?status=bad', '/audit?from=yesterday', '/log?from=2026-02-01&to=2026-01-01']) {
    await page.goto(world.base + list);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360, `${list} is wider than 360`);
    if (await rows.count()) continue;
    const says = page.locator('main .nothing, main [role="alert"], main .error').first();
    await says.waitFor(); // an empty list says why, and leads out
    assert.equal(await page.locator('main a', { hasText: /Show everything|Show all|Clear|Everybody/ }).count() > 0, true, `${list} leads nowhere`);
  }
  clean(page);
});
