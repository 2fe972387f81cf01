/** What grading an answer ends with. */

/** Whether an answer passed, and what was wrong if not. */
export interface Grade {
  readonly passed: boolean;
  readonly reason?: string;
}
