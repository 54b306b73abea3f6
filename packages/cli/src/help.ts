/** What `millrace help` prints. */
export function help(program: string): string {
  return `usage: ${program} <command> [options]

commands
  agent      runs the agent that -n names (node is the same)
  avro-client  sends lines of a file, of a directory or of standard input to an Avro source
  check      reads the configuration, says every problem and what each path guarantees
  file-channel verify|stats|dump|repair|drain|import   looks after the directories of a file channel
             (docs/file-channel.md; each explains itself with --help)
  make-certs  makes the certificates that edges and collectors show each other, or renews them
  status     says how agents are, the worst first, and why (docs/status.md)
  top        the same again and again, with rates
  version    prints the version
  help       prints this

options of agent and check
  -n, --name <agent>       the agent's name in the configuration
  -f, --conf-file <file>   properties file; several are merged, the later wins
  -c, --conf <dir>         takes the -D words of JAVA_OPTS from <dir>/flume-env.sh; nothing is run
  -D<name>=<value>         what \${sys:name} means, and settings:
      flume.monitoring.type=http|prometheus  .port=41414  .bind=0.0.0.0
      flume.root.logger=INFO,console   or   millrace.log.level=error|warn|info|debug
      millrace.drainSeconds=30         how long a stop may take to deliver what is left
      millrace.handOver=dns://name:4141   who gets what a stop could not deliver (docs/scale-down.md)
      millrace.lockWaitSeconds=30      how long a start waits for who holds its directories
      millrace.socket=<path>           a Unix socket for status and reload, for its own user alone
      millrace.role=edge|collector     a label of every metric
      millrace.reload=watch|off        whether the files are read again when they change (watch)
  -i, --poll-interval <s>  how often the files are looked at; 30 seconds (docs/reload.md)
  --no-reload-conf         the files are not watched; SIGHUP still has them read again
  --plugins-path <dirs>    folders of plugins, separated by colons (docs/plugins.md)
  --inventory <file>...    check: every agent of many files, which of them run as they are, which
                           with notes, and which need a decision (docs/migrate-from-flume.md)
  --strict, --lenient      refuse a configuration with errors, or leave its broken parts out
                           (millrace is strict, flume-ng is lenient)
  -d, --dryrun             check instead of running
  -h, --help               prints this

options of status and top
  -H, --host <list>        agents' monitoring ports: host:port,..., dns://name:41414, consul://service;
                           without it status asks the agent behind the socket
  -S, --socket <path>      an agent's socket; /run/millrace/agent.sock when not given
  -p, --port <port>        where an address has none, and for Consul; 41414 when not given
  -i, --interval <s>       between two readings; 1, top: 2
  -n, --count <n>          top: so many tables
  --json                   status: for programs

options of avro-client
  -H, --host <host>        of the Avro source
  -p, --port <port>        of the Avro source; with these, five events in one request
  -P, --rpcProps <file>    RPC client properties instead: several hosts, TLS, other wires, batch-size
  -F, --filename <file>    text, an event a line; standard input when neither this nor --dirname is given
  --dirname <dir>          every file in it, as the spooldir source reads them; a file is renamed to
                           .COMPLETED when its last event was acknowledged
  -R, --headerFile <file>  properties that are the headers of every event
  -c, -D, -h               as above

accepted, and without effect here: -X..., -javaagent:..., -agentlib:..., -C, --classpath

signals
  SIGTERM, SIGINT   the agent drains and stops; a second one ends it at once
  SIGHUP            the configuration is read again; what has changed is taken over

exit codes
  0  done, or stopped as told
  1  the command line cannot be understood
  2  the configuration has problems
  3  a component did not start; avro-client: nothing could be sent
  4  a fatal error stopped the agent; avro-client: sending failed after it had begun
  5  status: an agent needs somebody, or does not answer
  128 + n  ended at once by a second signal n`;
}
