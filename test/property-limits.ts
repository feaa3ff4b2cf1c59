/**
 * A property that fails may shrink for longer than its test may take: it stops before that, so that
 * the smallest counterexample so far is told. For `setupFiles`.
 */
import fc from 'fast-check';

fc.configureGlobal({ interruptAfterTimeLimit: 15_000, markInterruptAsFailure: true });
