// Looks for what axe finds in pages, and for pages that are wider than a small screen: node axe.mjs. What they are is in
// the variable SHOTS, as JSON; each finding is a line of the output that begins with "found".
import { audit, tags } from './page.mjs';
import { each, look } from './pages.mjs';

// What another layout can break.
const narrow = ['target-size', 'scrollable-region-focusable', 'link-in-text-block', 'color-contrast', 'page-has-heading-one', 'empty-table-header', 'td-has-header'];
const ways = [
  ['wide light', { width: 1280, height: 800 }, 'light', tags],
  ['wide dark', { width: 1280, height: 800 }, 'dark', ['color-contrast', 'link-in-text-block']], // all that depends on colours
  ['320 px light', { width: 320, height: 640 }, 'light', narrow],
];

const { chromium, pages: every, ahead, all } = JSON.parse(process.env.SHOTS);
// Pages of one template differ by what they show: unless all are asked for, one of each is looked at.
const template = ({ url, open }) => new URL(url).pathname.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|bz[a-z]_\w+/g, 'id') + (open ? ' opened' : '');
const pages = all ? every : every.filter((page, i) => every.findIndex((other) => template(other) === template(page)) === i);
let seen = 0;
await each(chromium, pages, ahead, async (page, name) => {
  for (const [way, viewport, scheme, rules] of ways) {
    await look(page, viewport, scheme);
    if (!all && way === '320 px light') continue; // its width is looked at below
    const { violations, looked } = await audit(page, rules);
    if (looked === 0) console.log(`found ${name}, ${way}: axe looked at nothing`);
    for (const v of violations) for (const n of v.nodes) console.log(`found ${name}, ${way}: ${v.id}: ${v.help}: ${n.html.replaceAll(/\s+/g, ' ').slice(0, 300)}`);
  }
  const wide = await page.evaluate(() => {
    const root = document.documentElement;
    if (root.scrollWidth <= root.clientWidth) return null;
    const over = [...document.body.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest('.scroll, .tabs ul, .side ul, pre'));
    return `${root.scrollWidth} px: ${over.slice(-3).map((e) => e.outerHTML.replaceAll(/\s+/g, ' ').slice(0, 160)).join(' | ')}`;
  });
  if (wide) console.log(`found ${name}, 320 px: the page scrolls sideways, it is as wide as ${wide}`);
  seen++;
});
console.log(`seen ${seen}`);
