// Asks axe whether pages are accessible, by day, at night and on a phone; fails if it finds a violation.
//
//   npm install --no-save puppeteer-core axe-core
//   CHROMIUM=/usr/bin/chromium node tests/report/axe.js report.html ...
const puppeteer = require("puppeteer-core");
const path = require("path");

(async () => {
  const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
  const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox"] });
  let found = 0;
  for (const file of process.argv.slice(2)) {
    for (const [width, scheme] of [[1100, "light"], [1100, "dark"], [390, "light"]]) {
      const page = await browser.newPage();
      await page.setBypassCSP(true);
      await page.setViewport({ width, height: 900 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await page.goto(`file://${path.resolve(file)}`);
      await page.addScriptTag({ path: require.resolve("axe-core/axe.min.js") });
      const { violations } = await page.evaluate(() => axe.run());
      violations.forEach((rule) => console.log(file, width, scheme, rule.id, rule.nodes[0].html));
      found += violations.length;
      await page.close();
    }
  }
  await browser.close();
  console.log(`${found} violations`);
  process.exit(found ? 1 : 0);
})();
