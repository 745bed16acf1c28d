# Everything that penstock takes from the system. Used by the build and, installed as it is, by
# find_package(penstock).

include(CMakeFindDependencyMacro)

find_dependency(Threads)
find_dependency(nlohmann_json 3.11)
find_dependency(fmt)
find_dependency(spdlog)
find_dependency(hwy)
find_dependency(RocksDB)
find_dependency(PNG)
find_dependency(pugixml)
enable_language(C) # FindHDF5 asks the C wrapper where the library lies
find_dependency(HDF5 COMPONENTS C)
find_dependency(PkgConfig)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET GLOBAL libxxhash)
pkg_check_modules(LIBURING REQUIRED IMPORTED_TARGET GLOBAL liburing)
pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET GLOBAL fuse3>=3.14)

if(NOT TARGET penstock_hdf5)
  add_library(penstock_hdf5 INTERFACE IMPORTED GLOBAL)
  target_include_directories(penstock_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
  target_link_libraries(penstock_hdf5 INTERFACE ${HDF5_C_LIBRARIES})
endif()
