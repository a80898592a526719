import { fileURLToPath } from 'node:url'
import { ForksPoolWorker, type PoolOptions, type PoolRunnerInitializer } from 'vitest/node'

const kPrivateNode = fileURLToPath(new URL('../../scripts/private-node.sh', import.meta.url))

/** A vitest worker process that starts in a network and mount namespace of its own. */
class PrivateFork extends ForksPoolWorker {
  override readonly name = 'private-forks'

  override async start(): Promise<void> {
    // fork() takes the program from process.execPath, and start() calls it before its first await.
    const node = process.execPath
    process.execPath = kPrivateNode
    const started = super.start()
    process.execPath = node
    await started
  }
}

/**
 * The pool of this project's tests: every test file has a process, a network namespace, a mount namespace and a /run of its own.
 * So two files may use the same names, and `npx vitest run FILE` is as safe as `npm test`.
 */
export function privateForks(): PoolRunnerInitializer {
  process.env.NETMODE_TEST_NODE = process.execPath
  return { name: 'private-forks', createPoolWorker: (options: PoolOptions) => new PrivateFork(options) }
}
