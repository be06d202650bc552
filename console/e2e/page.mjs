// What scenarios and journeys share.
import assert from 'node:assert/strict';
import axe from 'axe-core';

// open makes a browser profile of its own, as a person at a machine of their own has.
export async function open(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', ...options });
  context.setDefaultTimeout(60_000); // a machine may be slow
  const page = await context.newPage();
  const faults = [];
  page.on('pageerror', (error) => faults.push(String(error)));
  page.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) faults.push(message.text());
  });
  page.faults = faults;
  return page;
}

// tags are the rules of axe for WCAG 2.2 AA, and its best practice.
export const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// audit is what axe finds in a page by some of its rules, or by those of some tags; looked is how many rules found nothing.
// The page gets axe once. What found nothing is not listed: finding a selector for each element takes longer than the rules.
export async function audit(page, only) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  return page.evaluate(async (runOnly) => {
    const { violations, passes } = await window.axe.run(document, { runOnly, resultTypes: ['violations'] });
    return { violations, looked: passes.length };
  }, only);
}

// accessible looks for what axe finds against WCAG 2.2 AA.
export async function accessible(page) {
  const { violations, looked } = await audit(page, tags);
  assert.ok(looked > 0, `axe looked at nothing at ${page.url()}`);
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`), [], `axe at ${page.url()}`);
}

export async function heading(page, text) {
  await page.getByRole('heading', { level: 1, name: text }).waitFor();
}

export function clean(page) {
  assert.deepEqual(page.faults, []);
}
