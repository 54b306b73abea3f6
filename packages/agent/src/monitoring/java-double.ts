/**
 * A number as Java's `Double.toString` writes it: always with a point, and with an exponent below
 * 0.001 and from 10,000,000 on. Flume's JSON shows percentages in this form.
 */
export function javaDouble(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const size = Math.abs(value);
  if (size >= 1e-3 && size < 1e7) return withPoint(String(value));
  const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
  return `${withPoint(mantissa)}E${Number(exponent)}`;
}

function withPoint(digits: string): string {
  return digits.includes(".") ? digits : `${digits}.0`;
}
