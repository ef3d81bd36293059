/*
 * What a driver written in C may use in the emulated kernel of `mmiotools record ./driver.o`.
 *
 *	gcc -c -g -O2 -ffreestanding -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
 *		-fno-pic -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables driver.c
 *
 * A driver defines `int mmio_driver_probe(struct pci_dev *pdev)`, or one such function per version with the version's
 * name behind an underscore (mmio_driver_probe_1, mmio_driver_probe_2), and says MMIO_DRIVER(name, title, card) once.
 */
#ifndef MMIOTOOLS_H
#define MMIOTOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef u64 dma_addr_t;
typedef u64 resource_size_t;

#define __iomem
#define __init
#define __devinit

#define MMIO_DRIVER(name, title, card)           \
	const char mmio_driver_name[] = name;    \
	const char mmio_driver_title[] = title;  \
	const char mmio_driver_device[] = card

enum { EIO = 5, ENOMEM = 12, EBUSY = 16, ENODEV = 19, EINVAL = 22, ETIMEDOUT = 110 };

/* The kernel log. Levels are taken and dropped. */
#define KERN_ERR "\001" "3"
#define KERN_WARNING "\001" "4"
#define KERN_INFO "\001" "6"
int printk(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A mark in the trace. */
int trace_printk(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The one PCI function. Its structure is opaque. */
struct pci_dev;
int pci_enable_device(struct pci_dev *pdev);
void pci_disable_device(struct pci_dev *pdev);
int pci_request_regions(struct pci_dev *pdev, const char *name);
void pci_release_regions(struct pci_dev *pdev);
void pci_set_master(struct pci_dev *pdev);
resource_size_t pci_resource_start(struct pci_dev *pdev, int bar);
resource_size_t pci_resource_len(struct pci_dev *pdev, int bar);
void pci_set_drvdata(struct pci_dev *pdev, void *data);
void *pci_get_drvdata(struct pci_dev *pdev);
int pci_read_config_byte(struct pci_dev *pdev, int where, u8 *value);
int pci_read_config_word(struct pci_dev *pdev, int where, u16 *value);
int pci_read_config_dword(struct pci_dev *pdev, int where, u32 *value);
int pci_write_config_byte(struct pci_dev *pdev, int where, u8 value);
int pci_write_config_word(struct pci_dev *pdev, int where, u16 value);
int pci_write_config_dword(struct pci_dev *pdev, int where, u32 value);

/* Its interrupt: pci_irq_vector(pdev, 0). flags and name are ignored. */
typedef int irqreturn_t;
typedef irqreturn_t (*irq_handler_t)(int irq, void *data);
enum { IRQ_NONE, IRQ_HANDLED };
int pci_irq_vector(struct pci_dev *pdev, unsigned int number);
int request_irq(unsigned int irq, irq_handler_t handler, unsigned long flags, const char *name, void *data);
void free_irq(unsigned int irq, void *data);

/* Zeroed memory that the device can reach at *bus; NULL if there is none. */
void *dma_alloc(struct pci_dev *pdev, size_t size, dma_addr_t *bus);
void dma_free(struct pci_dev *pdev, void *memory);

/* Virtual time. */
void ndelay(unsigned int nanoseconds);
void udelay(unsigned int microseconds);
void mdelay(unsigned int milliseconds);
void msleep(unsigned int milliseconds);

/* Device memory. What ioremap returns is traced; NULL if it fails. */
void __iomem *ioremap(resource_size_t start, size_t size);
void __iomem *ioremap_nocache(resource_size_t start, size_t size);
void iounmap(volatile void __iomem *mapping);

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *one, const void *other, size_t size);
size_t strlen(const char *text);

/* Each of these is one instruction of the driver. */
#define MMIO_ACCESSORS(letter, type)                                                               \
	static inline type read##letter(const volatile void __iomem *at)                           \
	{                                                                                          \
		return *(const volatile type *)at;                                                 \
	}                                                                                          \
	static inline void write##letter(type value, volatile void __iomem *at)                    \
	{                                                                                          \
		*(volatile type *)at = value;                                                      \
	}
MMIO_ACCESSORS(b, u8)
MMIO_ACCESSORS(w, u16)
MMIO_ACCESSORS(l, u32)
MMIO_ACCESSORS(q, u64)
#undef MMIO_ACCESSORS

/* Four bytes at a time, and the rest one by one. */
static inline void memcpy_fromio(void *to, const volatile void __iomem *from, size_t size)
{
	u8 *out = to;
	const volatile u8 *in = from;

	for (; size >= 4; size -= 4, in += 4, out += 4) {
		u32 word = readl(in);

		__builtin_memcpy(out, &word, 4);
	}
	for (; size; size--)
		*out++ = readb(in++);
}

static inline void memcpy_toio(volatile void __iomem *to, const void *from, size_t size)
{
	volatile u8 *out = to;
	const u8 *in = from;

	for (; size >= 4; size -= 4, in += 4, out += 4) {
		u32 word;

		__builtin_memcpy(&word, in, 4);
		writel(word, out);
	}
	for (; size; size--)
		writeb(*in++, out++);
}

/* One rep stosb. */
static inline void memset_io(volatile void __iomem *to, int byte, size_t size)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(byte) : "memory");
}

#endif
