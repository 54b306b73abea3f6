/**
 * A regular expression as an operator wrote it for Java, for whole names. Java takes a backslash
 * before any sign (`\-`) and flags in front (`(?i)`); both work here. Throws a SyntaxError for what
 * JavaScript cannot read, and for escapes that only Java knows and JavaScript would take for a
 * letter.
 */
export function compileJavaPattern(pattern: string): RegExp {
  const ignoresCase = pattern.startsWith("(?i)");
  const whole = `^(?:${ignoresCase ? pattern.slice(4) : pattern})$`;
  const flag = ignoresCase ? "i" : "";
  try {
    return new RegExp(whole, `u${flag}`);
  } catch (error) {
    const javaOnly = /\\[AEGHQRVXZeghkpPz]/.exec(pattern.replaceAll("\\\\", ""));
    if (javaOnly !== null) throw new SyntaxError(`${javaOnly[0]} is known to Java only`);
    try {
      return new RegExp(whole, flag);
    } catch {
      throw error;
    }
  }
}
