/** What is allowed of addresses that others shall reach, in the words of upstream's validation. */
import { type Address, isLinkLocal, isLoopback, isUnspecified } from "../../../net/address.ts";
import { invalid, type Problem } from "../errors.ts";

/** What is wrong with an address that packets from other machines shall be sent to. */
export function validateReachable(field: string, address: Address): readonly Problem[] {
  if (isUnspecified(address)) return [invalid(field, address, `may not be unspecified (${address})`)];
  if (isLoopback(address)) return [invalid(field, address, "may not be in the loopback range (127.0.0.0/8, ::1/128)")];
  if (isLinkLocal(address))
    return [invalid(field, address, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")];
  return [];
}
