// Takes pictures of pages: node shots.mjs. What they are is in the variable SHOTS, as JSON.
import { writeFile } from 'node:fs/promises';
import { each, look, looks } from './pages.mjs';

const { chromium, folder, pages, ahead } = JSON.parse(process.env.SHOTS);
const most = 1000; // pixels of a long page
await each(chromium, pages, ahead, async (page, name, status, parts) => {
  for (const [suffix, viewport, scheme] of looks) {
    await look(page, viewport, scheme);
    for (const [i, from] of [null, ...parts].entries()) { // the page from its top, then from each part on
      const top = from ? await page.locator(from).first().evaluate((e) => e.getBoundingClientRect().top + window.scrollY - 16) : 0;
      const height = await page.evaluate(() => {
        window.scrollTo(0, 0);
        return document.documentElement.scrollHeight;
      });
      const clip = { x: 0, y: top, width: viewport.width, height: Math.min(height - top, most) };
      // What Chromium takes beyond its window may be what is in it, over and over: the window holds all of it, and the same
      // has to be taken twice in a row, as it may still be growing.
      await page.setViewportSize({ width: viewport.width, height: Math.ceil(Math.max(viewport.height, top + clip.height)) });
      const take = () => page.screenshot({ clip, animations: 'disabled' });
      let [before, picture] = [await take(), await take()];
      for (let tries = 0; !picture.equals(before) && tries < 10; tries++) [before, picture] = [picture, await take()];
      await writeFile(`${folder}/${name}${i ? `-${i + 1}` : ''}-${suffix}.png`, picture);
      await page.setViewportSize(viewport);
    }
  }
  console.log(`${status} ${name}`);
});
