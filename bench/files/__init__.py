"""Reading what users bring: arrays and codes as npy, npz, CSV and HDF5; what cannot be trusted is refused."""
