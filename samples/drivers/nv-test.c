/*
 * The test driver of January 2007: it maps the registers of an nvidia card, reads the straps and switches off an
 * interrupt. Compile it as mmiotools.h says, then: mmiotools record ./nv-test.o -t mmiotrace
 */
#include "mmiotools.h"

#define STRAPS 0x101000
#define PCRTC_INTR_EN 0x600140
#define MAPPED 0x1000000

MMIO_DRIVER("nv-test.o", "Pokes two registers of an nvidia card, as in 2007; machine code.", "nv-card");

static void poke(void __iomem *base)
{
	u32 straps;

	printk("doing a poke()\n");
	straps = readl(base + STRAPS);
	printk("read %x from 0x101000\n", straps);
	writel(0, base + PCRTC_INTR_EN);
	printk("wrote 0 to 0x600140\n");
}

int mmio_driver_probe(struct pci_dev *pdev)
{
	void __iomem *base;
	int err;

	err = pci_enable_device(pdev);
	if (err) {
		printk(KERN_ERR "nv-test: cannot enable PCI device\n");
		return err;
	}
	err = pci_request_regions(pdev, "nv-test");
	if (err) {
		printk(KERN_ERR "nv-test: cannot obtain PCI resources\n");
	} else {
		pci_set_master(pdev);
		base = ioremap_nocache(pci_resource_start(pdev, 0), MAPPED);
		poke(base);
		pci_set_drvdata(pdev, base);
	}
	/* Success leaves by the way of the second error, as it did in 2007. */
	pci_disable_device(pdev);
	pci_set_drvdata(pdev, NULL);
	return err;
}
