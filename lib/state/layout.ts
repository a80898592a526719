/** Where the intent is kept. The folder is on tmpfs: it lives exactly as long as the kernel state that it describes. */
import { basename, dirname, join } from 'node:path'

/** Paths under the state folder of one host namespace. */
export class Layout {
  readonly root: string
  readonly networks: string
  readonly sandboxes: string
  readonly leases: string
  /** Claims of host ports. */
  readonly ports: string
  /** What sandboxes are to be that are being changed. All in one folder, so that one look tells of whom there is such a thing. */
  readonly changes: string

  constructor(root: string) {
    this.root = root
    this.networks = join(root, 'networks')
    this.sandboxes = join(root, 'sandboxes')
    this.leases = join(root, 'leases')
    this.ports = join(root, 'ports')
    this.changes = join(root, 'changes')
  }

  network(name: string): string {
    return `${this.networks}/${name}.json`
  }
  /** Folder of one sandbox; its flock guards everything about the sandbox. */
  sandbox(name: string): string {
    return `${this.sandboxes}/${name}`
  }
  sandboxRecord(name: string): string {
    return `${this.sandboxes}/${name}/state.json`
  }
  /** Where a record or a claim is written before it takes its place (native/state/folder.cc): what a crash may leave there is of no use. */
  draft(record: string): string {
    return join(dirname(record), `.${basename(record)}.new`)
  }
  /** The record while the sandbox is being made: with its new name it is `sandboxRecord`, and the sandbox is ready. */
  sandboxInMaking(name: string): string {
    return `${this.sandboxes}/${name}/creating.json`
  }
  /** The record that a change is to end with: with its new name it is `sandboxRecord`, and the change is done. */
  sandboxInChange(name: string): string {
    return `${this.changes}/${name}.json`
  }
  /** One of the sandbox's own /etc files. */
  sandboxFile(name: string, file: 'hosts' | 'hostname' | 'resolv.conf'): string {
    return `${this.sandboxes}/${name}/${file}`
  }
  /** Claims of the sandboxes that share this one's namespace. */
  sandboxSharers(name: string): string {
    return `${this.sandboxes}/${name}/sharers`
  }
  /** Leases of one network: symbolic links, address → sandbox. Named by id, so that a network made anew under an old name starts empty. */
  networkLeases(id: string): string {
    return `${this.leases}/${id}`
  }
  lease(networkId: string, address: string): string {
    return `${this.leases}/${networkId}/${address}`
  }
  /** Claims of one host port, named `tcp-80`: symbolic links, address → sandbox. */
  portClaims(port: string): string {
    return `${this.ports}/${port}`
  }
  /** Claim of one host port. */
  port(protocol: string, port: number, address: string): string {
    return `${this.ports}/${protocol}-${port}/${address}`
  }
  /** Where the processes that serve names, or wait to, meet. */
  get nameService(): string {
    return join(this.root, 'name-service')
  }
  /** Claim of the one that serves. */
  get nameServiceClaim(): string {
    return join(this.nameService, 'server')
  }
  /** What was found whole, and how it looked then (recovery/seals.ts). */
  get seals(): string {
    return join(this.root, 'whole.json')
  }
  /** Records that could not be read are moved here. */
  get damaged(): string {
    return join(this.root, 'damaged')
  }
  /** Everything that has to be there before the first plan. */
  get folders(): readonly string[] {
    return [this.root, this.networks, this.sandboxes, this.leases, this.ports, this.changes, this.nameService]
  }
}
