/** Addresses and prefixes as kube-proxy's configuration has always taken them: IPv4 numbers may have leading zeros. */
import { type Address, tryParseAddress } from "../../net/address.ts";
import { type Prefix, tryParsePrefix } from "../../net/prefix.ts";

/** The address, or undefined. `010.0.0.1` is 10.0.0.1. */
export function parseSloppyAddress(text: string): Address | undefined {
  return tryParseAddress(withoutLeadingZeros(text));
}

/** The prefix, or undefined. Host bits may be set. */
export function parseSloppyPrefix(text: string): Prefix | undefined {
  const slash = text.indexOf("/");
  return slash < 0 ? undefined : tryParsePrefix(withoutLeadingZeros(text.slice(0, slash)) + text.slice(slash));
}

function withoutLeadingZeros(text: string): string {
  return text.includes(":") ? text : text.replace(/(^|\.)0+(?=\d)/g, "$1");
}
