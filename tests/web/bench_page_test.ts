import { ALL_WORKLOADS } from "../../bench/workloads/all.ts";
import { type Agent, browserName } from "../../web/live/bench/browser.ts";
import { QUICK } from "../../web/live/bench/quick.ts";
import { assertEquals, test } from "../harness.ts";

const agent = (userAgent: string, brands?: readonly [brand: string, version: string][]): Agent => ({
  userAgent,
  ...(brands !== undefined && {
    userAgentData: {
      getHighEntropyValues: () =>
        Promise.resolve({
          fullVersionList: brands.map(([brand, version]) => ({ brand, version })),
        }),
    },
  }),
});

test("browserName() takes the browser's own name, and no made-up or shared one", async () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) " +
    "Chrome/156.0.0.0 Safari/537.36";
  const cases: readonly (readonly [Agent, string])[] = [
    [
      agent(chrome, [["Not_A Brand", "99.0.0.0"], ["Chromium", "156.1"], [
        "Google Chrome",
        "156.1.2",
      ]]),
      "Google Chrome 156.1.2",
    ],
    [agent(chrome, [["Chromium", "156.1"], ["Not(A:Brand", "8.0.0.0"]]), "Chromium 156.1"],
    [agent(chrome, []), "Chrome 156.0.0.0"],
    [agent(chrome), "Chrome 156.0.0.0"],
    [agent(`${chrome} Edg/156.0.3.1`), "Microsoft Edge 156.0.3.1"],
    [agent("Mozilla/5.0 (X11; rv:150.0) Gecko/20100101 Firefox/150.0"), "Firefox 150.0"],
    [
      agent(
        "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
      ),
      "Safari 26.1",
    ],
    [agent("something else"), "something else"],
  ];
  for (const [given, want] of cases) assertEquals(await browserName(given), want);
});

test("bench page: every workload of the quick set is in the table, and none is long", () => {
  const found = ALL_WORKLOADS.filter(({ name, shape }) => QUICK.has(`${name} ${shape}`));
  assertEquals(found.length, QUICK.size);
  assertEquals(found.filter(({ long }) => long).map(({ name }) => name), []);
});
