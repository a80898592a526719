/** none: a namespace of its own with the loopback device up and nothing else; endpoints may be attached later. */
export { ownNamespace as none } from './mode.js'
