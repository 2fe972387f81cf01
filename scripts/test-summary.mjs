// A reporter of Node's test runner that says at the end, in one line, how many tests passed, failed and were skipped.
export default async function* summary(events) {
  const counts = { passed: 0, failed: 0, skipped: 0 };
  for await (const { type, data } of events) {
    // Suites, and the files that stand for their tests, are no tests.
    if ((type !== "test:pass" && type !== "test:fail") || data.details?.type === "suite") {
      continue;
    }
    const isSkipped = data.skip !== undefined && data.skip !== false;
    counts[type === "test:fail" ? "failed" : isSkipped ? "skipped" : "passed"]++;
  }
  yield `\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`;
}
