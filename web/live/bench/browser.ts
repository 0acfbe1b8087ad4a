/**
 * Which browser this is, to stand beside its figures.
 * @module
 */

/** The part of `navigator` that says so; `userAgentData` is Chromium's. */
export interface Agent {
  readonly userAgent: string;
  readonly userAgentData?: {
    getHighEntropyValues(hints: readonly string[]): Promise<{
      readonly fullVersionList?: readonly { readonly brand: string; readonly version: string }[];
    }>;
  };
}

/** Names in user agents, in the order to look for them: many browsers also call themselves Chrome or Safari. */
const NAMES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/Edg\/([\d.]+)/, "Microsoft Edge"],
  [/OPR\/([\d.]+)/, "Opera"],
  [/Firefox\/([\d.]+)/, "Firefox"],
  [/Chrome\/([\d.]+)/, "Chrome"],
  [/Version\/([\d.]+).*Safari/, "Safari"],
];

/** Name and version, such as `Google Chrome 156.0.7412.3`. */
export async function browserName({ userAgent, userAgentData }: Agent): Promise<string> {
  const { fullVersionList = [] } = await userAgentData?.getHighEntropyValues(["fullVersionList"]) ??
    {};
  // One brand is made up, so that nobody relies on the list: "Not_A Brand" in ever new spellings.
  const real = fullVersionList.filter(({ brand }) => !/not.*brand/i.test(brand));
  const own = real.find(({ brand }) => brand !== "Chromium") ?? real[0];
  if (own !== undefined) return `${own.brand} ${own.version}`;
  for (const [pattern, name] of NAMES) {
    const version = pattern.exec(userAgent)?.[1];
    if (version !== undefined) return `${name} ${version}`;
  }
  return userAgent;
}
