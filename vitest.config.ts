import { defineConfig } from 'vitest/config'
import { privateForks } from './test/setup/private-fork.js'

// .ci/run asks for a machine-readable report beside the one for people.
const report = process.env.NETMODE_TEST_REPORT

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: privateForks(),
    isolate: true,
    maxWorkers: 2,
    globals: false,
    watch: false,
    // Generous: a sanitized addon on a busy machine is slow, and no test of ours asserts a duration.
    testTimeout: 240_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
  },
})
