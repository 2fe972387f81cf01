/** Regular expressions on tensor names. */

/**
 * What is wrong with a regular expression, if anything. llama.cpp's are C++ std::regex, much the same
 * language; the C++ character classes like [[:digit:]] mean something else in JavaScript and are refused.
 */
export function patternProblem(text: string): string | undefined {
  if (text === "") {
    return "an empty pattern matches every tensor; write .* if that is meant.";
  }
  if (/\[[[.:=]/.test(text) && /[.:=]\]/.test(text)) {
    return `"${text}": C++ character classes are not known here; write \\d for [[:digit:]] and [a-z] for [[:lower:]].`;
  }
  try {
    new RegExp(text);
    return undefined;
  } catch (error) {
    return `"${text}" is not a regular expression (${error instanceof Error ? error.message : String(error)}).`;
  }
}
