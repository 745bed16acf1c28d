// penstock mount, unmount.

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/sinks/dist_sink.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "penstock/cachefs/control.h"
#include "penstock/cachefs/mount.h"
#include "tools/penstock/commands.h"
#include "tools/penstock/config_file.h"
#include "tools/penstock/journal_format.h"
#include "tools/penstock/log_file_sink.h"
#include "tools/penstock/mount_service.h"
#include "tools/penstock/process_end.h"
#include "tools/penstock/quantities.h"
#include "tools/penstock/start_daemon.h"

namespace penstock::tools {

namespace {

constexpr char kLogPattern[] = "%Y-%m-%dT%H:%M:%S.%e%z %l %v";

struct MountArguments {
  cachefs::MountOptions options;
  std::string cache_size;
  std::string reserve = "10%";
  double upstream_timeout = 30;
  double peer_timeout = 2;
  double settle_time = 10;
  double attribute_timeout = 30;
  std::string recent = "128M";
  std::string scrub_rate = "50M";
  std::string scrub_every = "30d";
  bool foreground = false;
  bool no_passthrough = false;
  bool no_faces = false;
  bool verbose = false;
  std::string config;
  bool print_config = false;
  std::string access_log_size;
  std::string directory;  // to begin in: that of the process that was started by hand
  int ready_fd = -1;      // of the process that waits for the mount; only between our own processes
};

Result<cachefs::SpaceReserve> ParseReserve(const std::string& text) {
  if (text.ends_with('%')) {
    char* end = nullptr;
    const double percent = std::strtod(text.c_str(), &end);
    if (end == text.c_str() + text.size() - 1 && percent >= 0 && percent < 100) {
      return cachefs::SpaceReserve{.bytes = 0, .percent = percent};
    }
    return Error::InvalidArgument("not a part of a disk").Expected("0% to 99%").Found(text);
  }
  PENSTOCK_ASSIGN_OR_RETURN(const uint64_t bytes, ParseBytes(text));
  return cachefs::SpaceReserve{.bytes = bytes, .percent = 0};
}

Result<cachefs::MountOptions> MakeOptions(const MountArguments& arguments) {
  cachefs::MountOptions options = arguments.options;
  if (!arguments.cache_size.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(options.cache_bytes, ParseBytes(arguments.cache_size));
  }
  PENSTOCK_ASSIGN_OR_RETURN(options.reserve, ParseReserve(arguments.reserve));
  if (!arguments.access_log_size.empty()) {
    PENSTOCK_ASSIGN_OR_RETURN(options.sight.access_log_bytes,
                              ParseBytes(arguments.access_log_size));
  }
  // The daemon leaves the working directory.
  for (std::filesystem::path* path : {&options.sight.metrics_file, &options.sight.access_log}) {
    if (!path->empty()) *path = std::filesystem::absolute(*path);
  }
  options.passthrough = !arguments.no_passthrough;
  options.faces = !arguments.no_faces;
  options.upstream_timeout =
      std::chrono::milliseconds(static_cast<int64_t>(arguments.upstream_timeout * 1000));
  options.peers.silence =
      std::chrono::milliseconds(static_cast<int64_t>(arguments.peer_timeout * 1000));
  PENSTOCK_ASSIGN_OR_RETURN(options.recent_bytes, ParseBytes(arguments.recent));
  PENSTOCK_ASSIGN_OR_RETURN(options.scrub.bytes_per_second, ParseBytes(arguments.scrub_rate));
  PENSTOCK_ASSIGN_OR_RETURN(options.scrub.every, ParseDuration(arguments.scrub_every));
  options.settle_time =
      std::chrono::milliseconds(static_cast<int64_t>(arguments.settle_time * 1000));
  options.attribute_timeout =
      std::chrono::milliseconds(static_cast<int64_t>(arguments.attribute_timeout * 1000));
  return cachefs::CheckMountOptions(options);
}

// Where messages go.
struct Log {
  std::shared_ptr<spdlog::sinks::dist_sink_mt> sinks;
  // Of what was said before there was a file, for the file.
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> early;
};

// Until the mount is up messages go to standard error, which the user still sees; then to the log.
Log StartLog(bool verbose) {
  constexpr size_t kMostEarlyLines = 1000;
  Log log{.sinks = std::make_shared<spdlog::sinks::dist_sink_mt>(),
          .early = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kMostEarlyLines)};
  log.sinks->set_sinks({std::make_shared<spdlog::sinks::stderr_sink_mt>(), log.early});
  auto logger = std::make_shared<spdlog::logger>("penstock", log.sinks);
  logger->set_level(verbose ? spdlog::level::debug : spdlog::level::info);
  if (LogsToJournal()) {
    logger->set_formatter(MakeJournalFormatter());
  } else {
    logger->set_pattern(kLogPattern);
  }
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
  return log;
}

void MoveLogToFile(Log& log, const std::filesystem::path& file) {
  auto sink = LogFileSink::Open(file);
  if (!sink.ok()) {
    spdlog::warn("{}", sink.error().ToString());
    return;
  }
  (*sink)->set_pattern(kLogPattern);
  log.sinks->set_sinks({*sink});
  // What the daemon does in the background may have been done, and said, before the mount was up.
  if (const auto early = std::exchange(log.early, nullptr)) {
    for (const auto& message : early->last_raw()) (*sink)->log(message);
  }
}

void DetachFromTerminal() {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return;
  for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(null, standard);
  close(null);
}

int ServeMount(const cachefs::MountOptions& options, const MountArguments& arguments,
               const CommandContext& context) {
  Log log = StartLog(arguments.verbose);
  const bool in_background = arguments.ready_fd >= 0;
  // That of a service goes on in the journal when its daemon is replaced.
  const bool logs_to_file = in_background && !LogsToJournal();
  prctl(PR_SET_NAME, "penstock");  // started by /proc/self/exe, it would be "exe"
  const std::filesystem::path log_file = options.cache / "penstock.log";
  MountService service([&] {
    if (logs_to_file) MoveLogToFile(log, log_file);
  });
  bool is_up = false;
  const auto ready = [&](const cachefs::MountHandle& handle) {
    if (in_background && !is_up) {
      if (logs_to_file) MoveLogToFile(log, log_file);
      spdlog::info("penstock {} shows {} on {} (process {})", PENSTOCK_VERSION,
                   cachefs::WithoutSecrets(options.store), options.mountpoint.string(), getpid());
      // Not before: where the place is an automount, the kernel lets the process group that systemd
      // started for it through, and makes all others wait for what this process is about to do.
      setsid();
      if (logs_to_file) DetachFromTerminal();
      if (chdir("/") != 0) spdlog::warn("cannot leave the working directory");
      if (!TellReady(arguments.ready_fd)) spdlog::warn("nobody waits for the mount");
    }
    is_up = true;
    service.Begin(handle);
  };
  const auto end = [&](const Status& status) {
    const int exit_status = status.ok() ? kExitDone : ReportError(status.error());
    if (in_background && !is_up) TellFailed(arguments.ready_fd, exit_status);
    return exit_status;
  };
  const auto stuck = [&](const Status& status) {
    const int exit_status = end(status);
    log.sinks->set_sinks({});  // waits for the last lines; who is stuck may still log
    _exit(exit_status);
  };
  const Status served =
      cachefs::RunMount(options, context.stop,
                        {.ready = ready,
                         .ending = [&](cachefs::MountEnding ending) { service.End(ending); },
                         .successor = MountService::NameSuccessor,
                         .stuck = stuck});
  return end(served);
}

std::vector<std::string> DaemonCommand(const MountArguments& mount, const CommandContext& context) {
  std::vector<std::string> command = context.command_line;
  // The daemon leaves it; the one that replaces it may want it.
  std::error_code failure;
  if (mount.directory.empty()) {
    command.insert(command.end(), {"--directory", std::filesystem::current_path(failure).string()});
  }
  return command;
}

Status CheckComplete(const MountArguments& arguments) {
  const auto missing = [](const char* what) {
    return Error::InvalidArgument(std::string(what) + " is missing")
        .Expected("penstock mount STORE MOUNTPOINT --cache DIR")
        .Advice("or name a file with --config that sets it");
  };
  if (arguments.options.store.empty()) return missing("STORE");
  if (arguments.options.mountpoint.empty()) return missing("MOUNTPOINT");
  if (arguments.options.cache.empty()) return missing("--cache");
  return {};
}

int Mount(MountArguments& arguments, CLI::App& command, const CommandContext& context) {
  if (!arguments.directory.empty() && chdir(arguments.directory.c_str()) != 0) {
    return ReportError(Error::FromErrno(errno, "cannot go to").In(arguments.directory));
  }
  if (!arguments.config.empty()) {
    if (const Status read = ApplyConfigFile(command, arguments.config); !read.ok()) {
      return ReportError(read.error());
    }
  }
  if (arguments.print_config) {
    fmt::print("{}", ConfigText(command));
    return kExitDone;
  }
  if (const Status complete = CheckComplete(arguments); !complete.ok()) {
    return ReportError(complete.error());
  }
  const auto options = MakeOptions(arguments);
  if (!options.ok()) return ReportError(options.error());
  if (arguments.foreground) return ServeMount(*options, arguments, context);
  return StartDaemon(DaemonCommand(arguments, context), context);
}

int Unmount(const std::string& mountpoint, unsigned timeout_seconds) {
  const auto address = cachefs::FindControlSocket(mountpoint);
  if (!address.ok()) return ReportError(address.error());
  const auto status = cachefs::AskDaemon(address->socket, {{"command", "status"}}, nullptr);
  if (!status.ok()) return ReportError(status.error());
  const pid_t daemon = status->value("pid", 0);
  const ProcessEnd end(daemon);
  const auto answer = cachefs::AskDaemon(address->socket, {{"command", "unmount"}}, nullptr);
  if (!answer.ok()) return ReportError(answer.error());
  // The daemon is done when its process has ended: its state is on disk then.
  if (!end.Wait(std::chrono::seconds(timeout_seconds))) {
    // The mount itself goes first. What keeps the process is a call to the disk that does not
    // return.
    return ReportError(
        Error::Timeout(fmt::format("the daemon, process {}, has not ended within {} s", daemon,
                                   timeout_seconds))
            .In(mountpoint)
            .Advice(
                "the mount is gone; the process ends when the disk of its cache answers again"));
  }
  return kExitDone;
}

void AddSightOptions(CLI::App& command, MountArguments& arguments) {
  cachefs::SightOptions& sight = arguments.options.sight;
  command.add_option("--metrics", sight.metrics_address,
                     "Answer Prometheus at ADDRESS:PORT; without ADDRESS on 127.0.0.1");
  command.add_option("--metrics-file", sight.metrics_file,
                     "Write the metrics to this file every 15 s, for node_exporter (NAME.prom)");
  command.add_option("--access-log", sight.access_log,
                     "Append a line of JSON per open to this file; SIGHUP opens it anew");
  command.add_option("--access-log-size", arguments.access_log_size,
                     "Begin a new access log at this size, such as 100M, and keep one old one");
}

void AddUpstreamOptions(CLI::App& command, cachefs::UpstreamOptions& options) {
  constexpr char kGroup[] = "Stores over the network";
  command
      .add_option("--s3-endpoint", options.s3_endpoint,
                  "http(s)://HOST[:PORT] of an S3 service (default: AWS_ENDPOINT_URL, or AWS)")
      ->group(kGroup);
  command
      .add_option("--s3-region", options.s3_region, "Region of the bucket (default: AWS_REGION)")
      ->group(kGroup);
  command
      .add_option("--tls-ca", options.tls_authorities,
                  "PEM file with the authorities to trust (default: those of the system)")
      ->check(CLI::ExistingFile)
      ->group(kGroup);
  CLI::Option* const certificate =
      command
          .add_option("--tls-certificate", options.tls_certificate,
                      "PEM file with the certificate to present to the store")
          ->check(CLI::ExistingFile)
          ->group(kGroup);
  command.add_option("--tls-key", options.tls_key, "PEM file with the key of that certificate")
      ->check(CLI::ExistingFile)
      ->needs(certificate)
      ->group(kGroup);
}

void AddPeerOptions(CLI::App& command, MountArguments& arguments) {
  constexpr char kGroup[] = "Sharing caches between nodes";
  cachefs::PeerOptions& peers = arguments.options.peers;
  command
      .add_option("--peers", peers.members,
                  "File with all nodes, HOST:PORT a line; each reads its share of the store")
      ->group(kGroup);
  command
      .add_option("--peer-key", peers.key,
                  "File with the secret that the nodes share, mode 0600 (openssl rand -hex 32)")
      ->group(kGroup);
  command
      .add_option("--peer-listen", peers.listen,
                  "ADDRESS:PORT to serve the other nodes on (default: serve none)")
      ->group(kGroup);
  command
      .add_option("--peer-name", peers.name,
                  "This node as the list has it, where that is not --peer-listen")
      ->group(kGroup);
  command
      .add_option("--peer-timeout", arguments.peer_timeout,
                  "Seconds of silence after which another node is taken to be dead")
      ->check(CLI::Range(0.1, 3600.0))
      ->capture_default_str()
      ->group(kGroup);
}

void AddMount(CLI::App& app, CommandContext& context) {
  auto arguments = std::make_shared<MountArguments>();
  CLI::App* const command = app.add_subcommand(
      "mount", "mount a store of datasets through a verified cache on a local disk");
  command->add_option("STORE", arguments->options.store,
                      "Directory with the datasets, or http(s)://HOST/PATH, or s3://BUCKET/PREFIX");
  command->add_option("MOUNTPOINT", arguments->options.mountpoint, "Empty directory");
  command->add_option("--cache", arguments->options.cache, "Directory of the cache");
  command->add_option("--cache-size", arguments->cache_size,
                      "Most bytes of replicas, such as 200G (default: until the reserve)");
  command
      ->add_option("--reserve", arguments->reserve,
                   "Part of the cache's disk to leave free, such as 10% or 50G")
      ->capture_default_str();
  command
      ->add_option("--upstream-timeout", arguments->upstream_timeout,
                   "Seconds until a store that does not answer gives an I/O error")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  AddUpstreamOptions(*command, arguments->options.upstream);
  AddPeerOptions(*command, *arguments);
  command
      ->add_option("--fetch-threads", arguments->options.fetch_threads,
                   "Reads of the store at once (default: as many as bring more, 2 to 32)")
      ->check(CLI::Range(1, 256));
  command
      ->add_option("--read-ahead", arguments->options.read_ahead_blocks,
                   "Blocks that are fetched ahead of one who reads a dataset in order; 0: none")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  command
      ->add_option("--recent", arguments->recent,
                   "Memory for what was fetched last, such as 64M: a reader in order gets it from "
                   "there; 0: none")
      ->capture_default_str();
  command
      ->add_option("--settle-time", arguments->settle_time,
                   "Seconds that a file other than a block must have been left alone before it is "
                   "kept in the cache")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--attribute-timeout", arguments->attribute_timeout,
                   "Seconds for which attributes of files in large directories may be believed "
                   "that have not changed lately; opening a file asks the store in any case")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  command
      ->add_option("--scrub-rate", arguments->scrub_rate,
                   "Most bytes per second that a scrub reads, such as 50M; 0: no limit")
      ->capture_default_str();
  command
      ->add_option("--scrub-every", arguments->scrub_every,
                   "Time from the begin of one scrub to the next, such as 4w; 0: on demand")
      ->capture_default_str();
  command->add_flag("--no-passthrough", arguments->no_passthrough,
                    "Serve complete blocks by the daemon instead of the kernel");
  command->add_flag("--no-faces", arguments->no_faces,
                    "Show no data.npy and data.raw, and data.nxs as the store has it");
  AddSightOptions(*command, *arguments);
  command->add_option("--config", arguments->config,
                      "File with these options, NAME = VALUE; the command line goes before it");
  command->add_flag("--print-config", arguments->print_config,
                    "Print such a file with what is set, and mount nothing");
  command->add_flag("--replace", arguments->options.replace,
                    "Take over the mount from the daemon that serves it; open files go on");
  command->add_flag("--foreground", arguments->foreground,
                    "Stay in this process, log to standard error");
  command->add_flag("--verbose", arguments->verbose, "Log more");
  command->add_option("--ready-fd", arguments->ready_fd)->group("");
  command->add_option("--directory", arguments->directory)->group("");
  command->callback([arguments, command, &context] {
    context.exit_status = Mount(*arguments, *command, context);
  });
}

void AddUnmount(CLI::App& app, CommandContext& context) {
  auto mountpoint = std::make_shared<std::string>();
  auto timeout_seconds = std::make_shared<unsigned>(30);
  CLI::App* const command =
      app.add_subcommand("unmount", "end a mount and wait until its state is written");
  command->add_option("MOUNTPOINT", *mountpoint, "The mount, or its cache directory")->required();
  command
      ->add_option("--timeout", *timeout_seconds,
                   "How long to wait for the daemon to end after the mount has, seconds")
      ->capture_default_str();
  command->callback([mountpoint, timeout_seconds, &context] {
    context.exit_status = Unmount(*mountpoint, *timeout_seconds);
  });
}

const CommandRegistration kMount(&AddMount);
const CommandRegistration kUnmount(&AddUnmount);

}  // namespace

}  // namespace penstock::tools
