// Runs one scenario: node run.mjs NAME. What it needs is in the variable E2E, as JSON.
import { chromium } from 'playwright-core';
import { find as journey } from './journeys.mjs';
import { find as scenario } from './scenarios.mjs';

const world = JSON.parse(process.env.E2E);
const browser = await chromium.launch({ executablePath: world.chromium, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
const stop = () => browser.close().finally(() => process.exit(1));
process.on('SIGINT', stop);
process.on('SIGTERM', stop);

let failed = false;
try {
  await (journey(process.argv[2]) ?? scenario(process.argv[2]))(browser, world);
} catch (error) {
  failed = true;
  console.error(error);
  for (const context of browser.contexts()) {
    for (const page of context.pages()) {
      console.error(`--- open page: ${page.url()}\n${await page.innerText('body').catch(() => '')}`);
    }
  }
} finally {
  await browser.close();
}
process.exit(failed ? 1 : 0);
