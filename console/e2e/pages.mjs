// The pages that shots are of: what opens them, and how they are looked at.
import { chromium } from 'playwright-core';

// looks are the ways in which a page is looked at. A page is loaded once: scheme and size change while it is open.
export const looks = [
  ['wide-light', { width: 1280, height: 800 }, 'light'],
  ['wide-dark', { width: 1280, height: 800 }, 'dark'],
  ['narrow-dark', { width: 390, height: 800 }, 'dark'],
  ['narrow-light', { width: 390, height: 800 }, 'light'],
];

// each opens every page as somebody in the Netherlands who reads English, and hands it to see. Who is signed in has one browser
// profile for all their pages, which saves a third of the work; whoever is not has one a page, as those may sign in. A page that
// cannot be opened is said, and fails the script at its end: the others are seen all the same.
export async function each(executablePath, pages, ahead, see) {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  const stop = () => browser.close().finally(() => process.exit(1));
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
  try {
    const profile = async (cookie, url) => {
      const context = await browser.newContext({ ignoreHTTPSErrors: true, locale: 'en-GB', timezoneId: 'Europe/Amsterdam', viewport: looks[0][1], reducedMotion: 'reduce' });
      context.setDefaultTimeout(60_000);
      if (cookie) await context.addCookies([{ name: '__Host-session', value: cookie, url: new URL(url).origin, secure: true, httpOnly: true, sameSite: 'Lax' }]);
      await context.addInitScript((ahead) => { const now = Date.now; Date.now = () => now() + ahead; }, ahead); // the server's clock goes ahead by so many ms
      return context;
    };
    const profiles = {}; // of who is signed in, by their cookie
    const one = async ({ name, url, cookie, open, parts }) => {
      const context = await (cookie ? profiles[cookie] ??= profile(cookie, url) : profile(cookie, url));
      const page = await context.newPage();
      try {
        const answer = await page.goto(url);
        if (cookie && !(await page.$('body.signed-in'))) throw new Error('nobody is signed in');
        for (const step of open ? open.split(' ; ') : []) {
          const [selector, text] = step.split(' := ');
          await (text === undefined ? page.click(selector) : page.fill(selector, text));
          await page.waitForLoadState();
        }
        await page.waitForTimeout(300); // what the page's scripts still do
        await see(page, name, answer.status(), parts ?? []);
      } catch (error) {
        console.log(`found ${name}: ${error.message.replaceAll(/\s+/g, ' ')} ${await page.innerText('main').then((text) => text.replaceAll(/\s+/g, ' ').slice(0, 300), () => '')}`);
        process.exitCode = 1;
      }
      await (cookie ? page : context).close();
    };
    const left = [...pages];
    await Promise.all(Array.from({ length: 3 }, async () => { // as many at the same time
      for (let page = left.shift(); page; page = left.shift()) await one(page);
    }));
  } finally {
    await browser.close();
  }
}

// look makes a page look like one of looks.
export async function look(page, viewport, colorScheme) {
  await page.setViewportSize(viewport);
  await page.emulateMedia({ colorScheme });
}
