/** Geographical positions (RFC 1876): the one type whose text is nothing like its fields. */
import type { Field } from "./fields.ts";
import { TextError } from "./text.ts";

/** A position as it stands in the record: angles in 1/1000 seconds of arc from 2^31, altitude in cm from -100 km. */
export interface Position {
  readonly version: number;
  readonly size: number;
  readonly horizontal: number;
  readonly vertical: number;
  readonly latitude: number;
  readonly longitude: number;
  readonly altitude: number;
}

const EQUATOR = 0x80000000;
const SEA_LEVEL = 10_000_000;

/** The whole data of a LOC record. */
export const position: Field<Position> = {
  read: (reader) => ({
    version: reader.u8(),
    size: reader.u8(),
    horizontal: reader.u8(),
    vertical: reader.u8(),
    latitude: reader.u32(),
    longitude: reader.u32(),
    altitude: reader.u32(),
  }),
  write(writer, value) {
    for (const byte of [value.version, value.size, value.horizontal, value.vertical]) writer.u8(byte);
    for (const word of [value.latitude, value.longitude, value.altitude]) writer.u32(word);
  },
  parse(words) {
    const pattern =
      /^(\d+)(?: (\d+)(?: (\d+(?:\.\d{1,3})?))?)? ([NS]) (\d+)(?: (\d+)(?: (\d+(?:\.\d{1,3})?))?)? ([EW])((?: -?\d+(?:\.\d{1,2})?m?){1,4})$/i;
    const match = pattern.exec(
      words
        .rest()
        .map((word) => word.text)
        .join(" "),
    );
    if (!match) throw new TextError("a position must be like 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m");
    const [, d1, m1, s1, ns = "", d2, m2, s2, ew = "", rest = ""] = match;
    const [altitude = 0, size = 1, horizontal = 10_000, vertical = 10] = rest.trim().split(" ").map(Number.parseFloat);
    return {
      version: 0,
      size: toPower(size),
      horizontal: toPower(horizontal),
      vertical: toPower(vertical),
      latitude: angle(d1, m1, s1, ns.toUpperCase() === "N", 90),
      longitude: angle(d2, m2, s2, ew.toUpperCase() === "E", 180),
      altitude: Math.round(altitude * 100) + SEA_LEVEL,
    };
  },
  format(value) {
    const lengths = [value.size, value.horizontal, value.vertical].map((power) => `${fromPower(power)}m`);
    return [
      degrees(value.latitude, "N", "S"),
      degrees(value.longitude, "E", "W"),
      `${((value.altitude - SEA_LEVEL) / 100).toFixed(2)}m`,
      ...lengths,
    ].join(" ");
  },
};

function angle(degree = "0", minute = "0", second = "0", positive: boolean, max: number): number {
  const value = Math.round((Number(degree) * 3600 + Number(minute) * 60 + Number(second)) * 1000);
  if (Number(minute) > 59 || Number(second) >= 60 || value > max * 3_600_000)
    throw new TextError("an angle is too large");
  return EQUATOR + (positive ? value : -value);
}

function degrees(value: number, positive: string, negative: string): string {
  const off = Math.abs(value - EQUATOR);
  const minutes = Math.floor(off / 60_000);
  const second = ((off % 60_000) / 1000).toFixed(3);
  return `${Math.floor(minutes / 60)} ${minutes % 60} ${second} ${value >= EQUATOR ? positive : negative}`;
}

/** Metres as a digit and a power of ten of centimetres, in one byte. */
function toPower(metres: number): number {
  let mantissa = Math.round(metres * 100);
  let exponent = 0;
  for (; mantissa > 9 && exponent < 9; exponent++) mantissa = Math.floor(mantissa / 10);
  return (Math.min(9, mantissa) << 4) | exponent;
}

function fromPower(power: number): string {
  return (((power >> 4) * 10 ** (power & 15)) / 100).toFixed(2);
}
