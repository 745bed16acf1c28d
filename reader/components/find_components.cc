#include <fmt/format.h>

#include <Eigen/Dense>
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>
#include <random>
#include <utility>

#include "penstock/reader/components.h"
#include "penstock/reader/operations.h"
#include "reader/pass_target.h"

namespace penstock {

namespace {

// Frames or pixels in the rows, directions in the columns; both are tall.
using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Matrix Orthonormal(const Matrix& tall) {
  const Eigen::HouseholderQR<Matrix> decomposition(tall);
  return decomposition.householderQ() * Matrix::Identity(tall.rows(), tall.cols());
}

// Normally distributed by the method of Box and Muller: std::normal_distribution gives other
// numbers with every library.
Matrix RandomDirections(Eigen::Index rows, Eigen::Index columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53; };
  Matrix directions(rows, columns);
  for (Eigen::Index i = 0; i < directions.size(); ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    directions.data()[i] = radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }
  return directions;
}

class Search {
 public:
  Search(const PassTarget& target, const ComponentOptions& options, const PassOptions& pass,
         SignalShape signal)
      : target_(target), options_(options), pass_(pass), signal_(signal) {}

  Result<Components> Run() {
    const auto pixels = static_cast<Eigen::Index>(signal_.pixel_count());
    FindUsed();
    const int64_t most = std::min<int64_t>(pixels, used_);
    if (options_.count < 1 || options_.count > most || options_.oversampling < 0 ||
        options_.power_iterations < 0) {
      return Error::InvalidArgument(fmt::format("the scan has no {} components", options_.count))
          .In(target_.name)
          .Expected(fmt::format("1 to {}: at most one per frame that is used and per pixel", most));
    }
    const auto directions =
        static_cast<Eigen::Index>(std::min(options_.count + options_.oversampling, most));
    Matrix along = RandomDirections(pixels, directions, options_.seed);
    Matrix basis;  // of the space of the frames that are used
    Matrix projected;
    for (int64_t round = 0; round <= options_.power_iterations; ++round) {
      if (round > 0) along = Orthonormal(projected);
      PENSTOCK_ASSIGN_OR_RETURN(Matrix products, MultiplyMasks(along, round == 0));
      // With so few frames that those which cannot be used are missed: from the beginning.
      if (used_ < directions) return Run();
      basis = Orthonormal(products);
      PENSTOCK_ASSIGN_OR_RETURN(projected, MultiplyFrames(basis));
      if (!products.allFinite() || !projected.allFinite()) {
        return Error::Unsupported("the frames have pixels that are no finite numbers")
            .In(target_.name)
            .Advice("leave the frames out, or interpolate the pixels as dead ones");
      }
    }
    return Finish(basis, projected);
  }

 private:
  void FindUsed() {
    if (!is_used_.empty()) return;
    const std::vector<int32_t>& key = target_.image_key;
    is_used_.resize(key.size());
    for (size_t f = 0; f < key.size(); ++f) {
      is_used_[f] = key[f] == 0 && (pass_.selection.empty() || pass_.selection[f] != 0);
      used_ += is_used_[f] != 0;
    }
  }

  Status Pass(std::span<Reduction* const> reductions) {
    PassOptions options = pass_;
    options.on_partition = [this](const PassProgress& now) {
      if (now.partitions_done == now.partition_count) DropUnusable(now.done);
      if (pass_.on_partition) pass_.on_partition(now);
    };
    PENSTOCK_ASSIGN_OR_RETURN(const PassSummary summary, target_.run(reductions, options));
    if (!summary.complete) {
      return Error::Cancelled("the deadline came before the components were found")
          .In(target_.name);
    }
    total_.bytes += summary.bytes;
    total_.partitions += summary.partitions;
    total_.partitions_mapped += summary.partitions_mapped;
    total_.partitions_direct += summary.partitions_direct;
    total_.partitions_pread += summary.partitions_pread;
    total_.partitions_leased += summary.partitions_leased;
    total_.partitions_decoded += summary.partitions_decoded;
    total_.extents_verified += summary.extents_verified;
    total_.seconds += summary.seconds;
    total_.threads = summary.threads;
    total_.frames = summary.frames;
    total_.frames_invalid = summary.frames_invalid;
    return Status::Ok();
  }

  // Frames of a provider may turn out not to be usable when they are read.
  void DropUnusable(std::span<const uint8_t> done) {
    for (size_t f = 0; f < is_used_.size(); ++f) {
      if (is_used_[f] == 0 || done[f] != 0) continue;
      is_used_[f] = 0;
      --used_;
    }
  }

  // A row per frame of the scan from those of the frames that are used.
  Matrix Expand(const Matrix& rows, double otherwise) const {
    Matrix all =
        Matrix::Constant(static_cast<Eigen::Index>(is_used_.size()), rows.cols(), otherwise);
    Eigen::Index row = 0;
    for (size_t f = 0; f < is_used_.size(); ++f) {
      if (is_used_[f] != 0) all.row(static_cast<Eigen::Index>(f)) = rows.row(row++);
    }
    return all;
  }

  // frames * directions, of the frames that are used, about the mean of every column: that is what
  // the mean frame gives.
  Result<Matrix> MultiplyMasks(const Matrix& along, bool is_first) {
    std::vector<Mask> masks;
    for (Eigen::Index j = 0; j < along.cols(); ++j) {
      Mask mask{"direction", signal_, std::vector<double>(static_cast<size_t>(along.rows()))};
      for (Eigen::Index p = 0; p < along.rows(); ++p) {
        mask.weights[static_cast<size_t>(p)] = along(p, j);
      }
      masks.push_back(std::move(mask));
    }
    PENSTOCK_ASSIGN_OR_RETURN(const auto products, MaskReduction::Create(std::move(masks)));
    if (is_first) {
      const std::array<Reduction*, 2> both = {products.get(), &moments_};
      PENSTOCK_RETURN_IF_ERROR(Pass(both));
      TakeMoments();
    } else {
      const std::array<Reduction*, 1> one = {products.get()};
      PENSTOCK_RETURN_IF_ERROR(Pass(one));
    }
    const std::vector<double> values = products->result().AsDoubles();
    Matrix result(used_, along.cols());
    for (Eigen::Index j = 0; j < along.cols(); ++j) {
      const double* const column = values.data() + static_cast<size_t>(j) * is_used_.size();
      Eigen::Index row = 0;
      for (size_t f = 0; f < is_used_.size(); ++f) {
        if (is_used_[f] != 0) result(row++, j) = column[f];
      }
    }
    if (options_.centre) result.rowwise() -= result.colwise().mean().eval();
    return result;
  }

  void TakeMoments() {
    mean_ = moments_.Mean();
    squares_ = 0;
    const std::vector<double> deviation = moments_.StandardDeviation().doubles();
    auto& mean = std::get<std::vector<double>>(mean_.values);
    for (size_t p = 0; p < mean.size(); ++p) {
      if (std::isnan(mean[p])) mean[p] = 0;  // pixels that are left out
      const double spread = std::isnan(deviation[p]) ? 0 : deviation[p] * deviation[p];
      squares_ += static_cast<double>(used_) * (spread + (options_.centre ? 0 : mean[p] * mean[p]));
    }
  }

  // (basis^T * frames)^T, of frames about their mean.
  Result<Matrix> MultiplyFrames(const Matrix& basis) {
    const Matrix weights = Expand(basis, 0);
    PENSTOCK_ASSIGN_OR_RETURN(
        const auto sums,
        WeightedSumReduction::Create({weights.data(), weights.data() + weights.size()},
                                     static_cast<int64_t>(basis.cols())));
    const std::array<Reduction*, 1> one = {sums.get()};
    PENSTOCK_RETURN_IF_ERROR(Pass(one));
    const auto pixels = static_cast<Eigen::Index>(signal_.pixel_count());
    const std::vector<double>& mean = mean_.doubles();
    Matrix result(pixels, basis.cols());
    for (Eigen::Index j = 0; j < basis.cols(); ++j) {
      const double* const image = sums->result().doubles().data() + j * pixels;
      const double share = options_.centre ? basis.col(j).sum() : 0;
      for (Eigen::Index p = 0; p < pixels; ++p) {
        result(p, j) = image[p] - share * mean[static_cast<size_t>(p)];
      }
    }
    return result;
  }

  // frames = basis * projected^T; projected = Q R, R^T = U S W^T: frames = (basis U S) (Q W)^T.
  Components Finish(const Matrix& basis, const Matrix& projected) {
    const Eigen::HouseholderQR<Matrix> decomposition(projected);
    const Eigen::Index directions = projected.cols();
    const Eigen::MatrixXd upper =
        decomposition.matrixQR().topRows(directions).triangularView<Eigen::Upper>();
    const Eigen::JacobiSVD<Eigen::MatrixXd> small(upper.transpose(),
                                                  Eigen::ComputeFullU | Eigen::ComputeFullV);
    const Matrix thin =
        decomposition.householderQ() * Matrix::Identity(projected.rows(), directions);
    const auto count = static_cast<Eigen::Index>(options_.count);
    Matrix vectors = (thin * small.matrixV().leftCols(count)).transpose();
    Matrix loadings =
        basis * (small.matrixU() * small.singularValues().asDiagonal()).leftCols(count);
    for (Eigen::Index k = 0; k < count; ++k) {
      Eigen::Index largest = 0;
      vectors.row(k).cwiseAbs().maxCoeff(&largest);
      if (vectors(k, largest) >= 0) continue;
      vectors.row(k) *= -1;
      loadings.col(k) *= -1;
    }
    loadings = Expand(loadings, std::numeric_limits<double>::quiet_NaN());
    Components found;
    const auto array = [](std::vector<int64_t> shape, const Matrix& values) {
      return ResultArray{std::move(shape),
                         std::vector<double>(values.data(), values.data() + values.size())};
    };
    found.components = array({options_.count, signal_.rows, signal_.columns}, vectors);
    const ScanShape& scan = target_.shape.scan;
    found.loadings =
        array(scan.is_series ? std::vector<int64_t>{scan.columns, options_.count}
                             : std::vector<int64_t>{scan.rows, scan.columns, options_.count},
              loadings);
    found.mean = mean_;
    std::vector<double> singular, variance, ratio;
    for (Eigen::Index k = 0; k < count; ++k) {
      const double value = small.singularValues()(k);
      singular.push_back(value);
      variance.push_back(value * value / static_cast<double>(std::max<int64_t>(used_ - 1, 1)));
      ratio.push_back(squares_ > 0 ? value * value / squares_ : 0);
    }
    found.singular_values = {{options_.count}, std::move(singular)};
    found.explained_variance = {{options_.count}, std::move(variance)};
    found.explained_ratio = {{options_.count}, std::move(ratio)};
    found.frames = used_;
    found.summary = total_;
    return found;
  }

  const PassTarget& target_;
  const ComponentOptions& options_;
  const PassOptions& pass_;
  const SignalShape signal_;
  std::vector<uint8_t> is_used_;  // per frame
  int64_t used_ = 0;
  StatisticsReduction moments_;
  ResultArray mean_;
  double squares_ = 0;  // of the whole matrix
  PassSummary total_;
};

Result<Components> Find(const PassTarget& target, const ComponentOptions& options,
                        const PassOptions& pass) {
  PENSTOCK_ASSIGN_OR_RETURN(const SignalShape signal, SeenSignal(target.shape.signal, pass.view));
  if (!pass.selection.empty() && pass.selection.size() != target.image_key.size()) {
    return Error::InvalidArgument("the selection of frames does not fit the scan").In(target.name);
  }
  try {
    return Search(target, options, pass, signal).Run();
  } catch (const std::bad_alloc&) {
    return Error::Unsupported("not enough memory for so many components")
        .In(target.name)
        .Advice("find fewer, with less oversampling, or in binned frames");
  }
}

}  // namespace

Result<Components> FindComponents(const Reader& reader, const ComponentOptions& options,
                                  const PassOptions& pass) {
  return Find(PassTarget(reader), options, pass);
}

Result<Components> FindComponents(const FrameProvider& provider, const ComponentOptions& options,
                                  const PassOptions& pass) {
  return Find(PassTarget(provider), options, pass);
}

}  // namespace penstock
