/** Shapes of values that all parts of a snapshot use. */
import { oneOf, text, whole } from "../shape.ts";

/** Whole numbers of so many bits. */
export const u8 = whole(0, 255);
export const u16 = whole(0, 65_535);
export const u32 = whole(0, 0xffff_ffff);
/** A number of things. */
export const count = whole();
export const family = oneOf("IPv4", "IPv6");
/** The name of an interface, a chain, a set. */
export const name = text(256);
/** A hardware address. */
export const mac = text(100);
export const million = 1_000_000;
