#include "ingest/formats/mib/mib_writer.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cassert>
#include <cstring>
#include <ctime>

namespace penstock::ingest {

namespace {

constexpr int kDacNumbers = 27;
constexpr size_t kSidecarBytes = 2048;

constexpr std::string_view kThresholds =
    "2.000000E+0,5.110000E+2,0.000000E+0,0.000000E+0,0.000000E+0,0.000000E+0,0.000000E+0,"
    "0.000000E+0";

std::string Dacs() {
  std::string dacs;
  for (int i = 0; i < kDacNumbers; ++i) dacs += i == 0 ? "000" : ",000";
  return dacs;
}

const char* Layout(const MibWriteSettings& settings) {
  return settings.IsQuad() ? "   2x2" : "   1x1";
}

std::tm CalendarTime(int64_t unix_ns) { return fmt::gmtime(std::time_t{unix_ns / 1'000'000'000}); }

}  // namespace

void WriteMibHeader(const MibWriteSettings& settings, int64_t frame, std::span<std::byte> header) {
  assert(header.size() == settings.HeaderBytes());
  static const std::string kDacs = Dacs();
  const int64_t row = frame / settings.scan.columns;
  const int64_t time_ns =
      settings.start_unix_ns + frame * settings.frame_period_ns + row * settings.flyback_ns;
  const int64_t fraction_ns = time_ns % 1'000'000'000;
  const std::tm calendar = CalendarTime(time_ns);
  const int chips = settings.IsQuad() ? 4 : 1;
  std::string text = fmt::format(
      "MQ1,{:06},{:05},{:02},{:04},{:04},U{:02},{},{},{:%Y-%m-%d %H:%M:%S}.{:06},{:.6f},0,0,0,{}",
      frame + 1, settings.HeaderBytes(), chips, settings.signal.columns, settings.signal.rows,
      settings.PixelBytes() * 8, Layout(settings), settings.IsQuad() ? "0F" : "01", calendar,
      fraction_ns / 1000, static_cast<double>(settings.exposure_ns) * 1e-9, kThresholds);
  for (int chip = 0; chip < chips; ++chip) text += ",3RX," + kDacs;
  text += fmt::format(",MQ1A,{:%Y-%m-%dT%H:%M:%S}.{:09}Z,{}ns,{},", calendar, fraction_ns,
                      settings.exposure_ns, settings.counter_depth);
  assert(text.size() <= header.size());
  std::memset(header.data(), 0, header.size());
  std::memcpy(header.data(), text.data(), text.size());
}

std::string MibSidecarText(const MibWriteSettings& settings) {
  const char* const chip_ids =
      settings.IsQuad() ? "simulated, simulated, simulated, simulated" : "simulated, - , - , - ";
  std::string text = "HDR,\t\r\n";
  const auto add = [&text](std::string_view key, std::string_view value) {
    text += fmt::format("{}:\t{}\r\n", key, value);
  };
  add("Time and Date Stamp (day, mnth, yr, hr, min, s)",
      fmt::format("{:%d/%m/%Y %H:%M:%S}", CalendarTime(settings.start_unix_ns)));
  add("Chip ID", chip_ids);
  add("Chip Type (Medipix 3.0, Medipix 3.1, Medipix 3RX)", "Medipix 3RX");
  add("Assembly Size (NX1, 2X2)", Layout(settings));
  add("Chip Mode  (SPM, CSM, CM, CSCM)", "SPM");
  add("Counter Depth (number)", std::to_string(settings.counter_depth));
  add("Gain", "SLGM");
  add("Active Counters", "Counter 0");
  add("Thresholds (keV)", kThresholds);
  add("Gap Fill Mode", "None");
  add("Flat Field File", "None");
  add("Acquisition Type (Normal, Th_scan, Config)", "Normal");
  add("Frames in Acquisition (Number)", std::to_string(settings.scan.frame_count()));
  add("Frames per Trigger (Number)", std::to_string(settings.scan.columns));
  add("Trigger Start (Positive, Negative, Internal)", "Rising Edge");
  add("Trigger Stop (Positive, Negative, Internal)", "Internal");
  add("Software Version", "penstock simulation");
  add("ScanX", std::to_string(settings.scan.columns));
  add("ScanY", std::to_string(settings.scan.rows));
  text += "End\t";
  if (text.size() < kSidecarBytes) text.append(kSidecarBytes - text.size(), ' ');
  return text;
}

}  // namespace penstock::ingest
