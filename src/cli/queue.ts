/** What `queue` prints. */
import type { QueueResult } from "../queue/list.js";
import { formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<QueueResult> = { lines: describe };

function describe({ queue, coordinators, workers, jobs }: QueueResult): readonly string[] {
  const since = (begin: number) => (Date.now() - begin) / 1000;
  const runs = coordinators.map(({ host, pid, version, step, done, total, unit, since: begin, url }) => [
    `${host}:${pid}`,
    version,
    `${step} ${total > 0 ? `${Math.floor((100 * done) / total)} % of ${formatCount(total)} ${unit}` : ""}`.trim(),
    formatDuration(since(begin)),
    url,
  ]);
  const machines = workers.map(({ host, pid, version, threads, jobs: count, weights, since: begin }) => [
    `${host}:${pid}`,
    version,
    String(threads),
    String(count),
    `${formatCount(weights / Math.max(1, since(begin)))}/s`,
    formatDuration(since(begin)),
  ]);
  const counts = jobs.map(({ name, waiting, active, delayed }) => [
    name,
    String(waiting),
    String(active),
    String(delayed),
  ]);
  return [
    queue,
    "",
    ...section("coordinators", ["run", "version", "doing", "for", "data at"], runs),
    "",
    ...section("workers", ["worker", "version", "threads", "jobs", "weights", "for"], machines),
    "",
    ...section("jobs", ["queue", "waiting", "active", "delayed"], counts),
  ];
}

function section(what: string, head: string[], rows: string[][]): readonly string[] {
  return rows.length === 0 ? [`no ${what}`] : formatTable(head, rows);
}
