/**
 * How the browser calls itself.
 * @module
 */

/** Such as `Chromium 156`; the whole user agent where it does not say it shorter. */
export function browserName(): string {
  const data: unknown = Reflect.get(navigator, "userAgentData");
  const brands = data && typeof data === "object" ? Reflect.get(data, "brands") : undefined;
  if (!Array.isArray(brands)) return navigator.userAgent;
  const real = brands.filter(({ brand }) => !/not.?a.?brand/i.test(brand));
  const { brand, version } = real.find(({ brand }) => brand !== "Chromium") ?? real[0] ??
    { brand: navigator.userAgent, version: "" };
  return `${brand} ${version}`.trim();
}
